"""The two READMEs say the same: headings, code, links, tables and options."""

import io
import re
import tokenize
from pathlib import Path

import helpers
import pytest

ROOT = Path(__file__).parent.parent
ENGLISH, CHINESE = ((ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def code(text: str) -> list[tuple[str, str]]:
    """The blocks of code without their comments."""
    return [(kind, bare(kind, block)) for kind, block in FENCED.findall(text)]


def bare(kind: str, block: str) -> str:
    if kind != "python":
        return "\n".join(re.sub(r"\s+#.*", "", line) for line in block.splitlines())
    found = tokenize.generate_tokens(io.StringIO(block).readline)
    return " ".join(t.string for t in found if t.type != tokenize.COMMENT and t.string.strip())


def prose(text: str) -> str:
    return FENCED.sub("", text)


def headings(text: str) -> list[str]:
    return re.findall(r"^(#+) ", prose(text), re.M)


def links(text: str) -> list[str]:
    """Where links go; each README links to the other."""
    found = re.findall(r"\]\(([^)]+)\)", prose(text))
    return sorted("other" if link.startswith("README") else link for link in found)


def tables(text: str) -> list[tuple[int, list[str]]]:
    """Each table's number of columns, and the code in its rows: names of methods and scenarios."""
    blocks = re.findall(r"(?:^\|.*\n)+", prose(text), re.M)
    return [
        (block.splitlines()[0].count("|"), [" ".join(spans(row)) for row in block.splitlines()])
        for block in blocks
    ]


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def said(text: str) -> set[str]:
    """What is code within the prose: names, options, figures' files."""
    found = spans(re.sub(r"\s+", " ", prose(text)))
    return {re.sub(r"[\u4e00-\u9fff]+", "column", span) for span in found}


@pytest.mark.parametrize("part", [headings, code, links, tables])
def test_both_languages_have_the_same(part):
    assert part(ENGLISH)
    assert part(CHINESE) == part(ENGLISH)


def test_every_option_and_name_in_english_is_in_chinese():
    assert said(ENGLISH) - said(CHINESE) == set()


def test_no_words_are_left_that_nobody_understands():
    assert "所知都是和" not in CHINESE
    assert "[模式]" not in CHINESE


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_links_lead_to_files(text):
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), link


def test_a_student_runs_the_chinese_readme_on_both_frameworks(capsys):
    pytest.importorskip("tensorflow")
    helpers.one_tensorflow_thread()
    (block,) = [text for _, text in FENCED.findall(CHINESE) if "TaskLayers" in text]
    assert len(block.splitlines()) <= 20
    exec(compile(block, "README.zh-CN.md", "exec"), {})
    out = capsys.readouterr().out
    found = re.findall(r"^(torch|tensorflow) (\S+) (0\.\d+)$", out, re.M)
    runs = {(backend, name): float(accuracy) for backend, name, accuracy in found}
    for name, least in (("ewc+task-layers", 0.75), ("pnn", 0.85)):
        assert runs["torch", name] == pytest.approx(runs["tensorflow", name], abs=0.01)
        assert runs["torch", name] > least
    assert out.count("shared ") == 2
    assert len(re.findall(r"^head +task \d", out, re.M)) == 4 * 5
    assert len(re.findall(r"^task ", out, re.M)) == 4 * 5
