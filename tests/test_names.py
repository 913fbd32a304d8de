"""Names as people read them."""

import unicodedata

import pytest

from lifelong.names import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("txt\u202egnp", r"txt\u202egnp"),
        ("\u2066x\u2069", r"\u2066x\u2069"),
        ("half \ud83d", r"half \ud83d"),
        ("\ufffe\uffff", r"\ufffe\uffff"),
    ],
)
def test_what_acts_on_a_terminal_is_shown(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert printable(shown) == shown


@pytest.mark.parametrize(
    "name", ["", "Größe", "中文", "العربية", "👩‍👩‍👧 😀", r"C:\x", "a b", "$x^2$ <b>&"]
)
def test_all_else_stays_as_it_is(name: str) -> None:
    assert printable(name) == name


def test_no_control_or_surrogate_is_left_of_any_character() -> None:
    shown = printable("".join(map(chr, range(0x110000))))
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(c) for c in shown}
    shown.encode()
