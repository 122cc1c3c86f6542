"""The screen fits a terminal whatever was found, in both languages."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.doctor.findings import Finding, speaker
from lowrank_kit.doctor.screen import LINES, STATES, columns, screen, wrapped
from lowrank_kit.i18n import LANGUAGES, strings

NAMES = sorted(key.removeprefix("name_") for key in strings("doctor", "en") if key.startswith("name_"))
TEXTS = st.text(st.sampled_from("abz /-_.\n日本語、。」(é"), max_size=300)
FINDINGS = st.lists(
    st.builds(Finding, st.sampled_from(NAMES), st.sampled_from(STATES), TEXTS, TEXTS), max_size=2 * len(NAMES)
)


def fine(n=None):
    return [Finding(name, "ok", "as it should be") for name in NAMES[:n]]


def bad(state, n=None):
    return [Finding(name, state, "wrong", "put it right") for name in NAMES[:n]]


@given(FINDINGS, st.sampled_from(LANGUAGES), st.integers(60, 100))
def test_it_never_outgrows_a_terminal(findings, language, width):
    lines = screen(findings, speaker(language), width)
    assert len(lines) < LINES  # the title is one more
    assert max(map(columns, lines)) <= width
    assert not any("\n" in line for line in lines)


@given(TEXTS, st.integers(4, 40))
def test_wrapping_loses_nothing(text, width):
    assert "".join("".join(wrapped(text, width)).split()) == "".join(text.split())


def test_findings_stand_in_columns(say):
    lines = screen([Finding("gpu", "ok", "*"), Finding("browser_font", "fault", "*"), Finding("disk", "ok", "*")], say)
    assert len({columns(line.split("*")[0]) for line in lines if "*" in line}) == 1


def test_a_cure_stands_below_its_fault(english):
    assert screen([Finding("disk", "fault", "full", "make room")], english)[:2] == [
        "FAULT    disk  full",
        "  -> make room",
    ]


@pytest.mark.parametrize(
    ("findings", "last"),
    [
        (fine(), "Ready."),
        (bad("warning", 1), "Ready, with 1 warning."),
        (bad("fault", 1) + bad("warning", 2), "Not ready: 1 fault, 2 warnings."),
        (bad("fault", 2), "Not ready: 2 faults, 0 warnings."),
    ],
)
def test_the_last_line_sums_up(findings, last, english):
    assert screen(findings, english)[-1] == last


def test_few_faults_leave_every_finding_its_line(say):
    findings = [*fine(15), *bad("fault", 3)]
    assert sum("as it should be" in line for line in screen(findings, say)) == 15


def test_many_faults_make_the_others_share_a_line(say):
    lines = screen([*fine(8), *bad("fault", 9)], say)
    assert not any("as it should be" in line for line in lines)
    assert all(say(f"name_{name}") in lines[0] for name in NAMES[:8])
    assert sum("put it right" in line for line in lines) == 9


def test_what_does_not_fit_is_counted_and_faults_come_first(english):
    lines = screen([*bad("warning", 16), *bad("fault", 2)], english)
    assert [line.split()[0] for line in lines if "wrong" in line][:3] == ["FAULT", "FAULT", "warning"]
    shown = sum("wrong" in line for line in lines)
    assert lines[-2] == f"and {18 - shown} more; cure the above, then run this again"
    assert lines[-1] == "Not ready: 2 faults, 16 warnings."


def test_english_needs_no_letters_but_ascii():
    assert [text for text in strings("doctor", "en").values() if not text.isascii()] == []


def test_no_japanese_letter_is_wide_on_some_terminals_only():
    letters = set("".join(strings("doctor", "ja").values()))
    assert {letter for letter in letters if unicodedata.east_asian_width(letter) == "A"} == set()
