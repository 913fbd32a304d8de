"""Support vector machines that learn without starting over."""

from .exact import ExactSVM
from .keep import KeepSupport
from .lasvm import LASVM
from .multiclass import IncrementalSVC

__all__ = ["LASVM", "ExactSVM", "IncrementalSVC", "KeepSupport"]
