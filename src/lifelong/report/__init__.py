"""Reports: one self-contained HTML page from the runs of a ``results.json``.

>>> report.write(results, Path("out"))      # out/report.html and out/figures/*.png|svg
>>> print(report.verdict(results))          # one to four sentences
>>> report.comparison(results)              # the rows of the table, for the terminal

========== ============================================================================
module     what it does
========== ============================================================================
groups     reads the dictionary: groups of comparable runs, and the methods in a group
statistics means, paired differences by seed and their 95 % intervals
words      the verdict, and numbers as people read them
figures    the figures (matplotlib, without pyplot: no global state)
tables     the comparison as CSV, LaTeX or Markdown
html       the page
========== ============================================================================
"""

from .html import write
from .statistics import Interval, Row, comparison
from .tables import table
from .words import verdict

__all__ = ["Interval", "Row", "comparison", "table", "verdict", "write"]
