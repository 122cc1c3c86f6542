"""A diagnosis in words, English or Japanese: its verdict with the reasons, and a table of what was found."""

import unicodedata
from collections.abc import Mapping

from lowrank_kit.i18n import default_language, strings
from lowrank_kit.records import Diagnosis

__all__ = ["as_text", "sentence"]

# How the numbers of a reason are written; all others are counts.
WRITTEN = {"share": "{:.0%}", "condition": "{:.3g}", **dict.fromkeys(("value", "low", "high", "flat"), "{:.1f}")}


def sentence(diagnosis: Diagnosis, language: str | None = None) -> str:
    """The verdict and its reasons, as one would say it in a meeting; `language` is "en" or "ja"."""
    words = strings("diagnosis", language or default_language())
    told = [words[f"verdict_{diagnosis.verdict}"].format(name=diagnosis.name)]
    told += [words[f"why_{key}"].format(**_written(facts)) for key, facts in diagnosis.reasons]
    return words["space"].join(told)


def as_text(diagnosis: Diagnosis, language: str | None = None) -> str:
    """A table of all figures for a terminal, and the sentence below it."""
    language = language or default_language()
    words = strings("diagnosis", language)
    rows = {words[f"fact_{key}"]: value for key, value in diagnosis.facts.items()}
    width = max(map(_columns, rows))
    lines = [f"{label}{' ' * (width - _columns(label))}  {value}" for label, value in rows.items()]
    return "\n".join([*lines, "", sentence(diagnosis, language)])


def _written(facts: Mapping[str, float]) -> dict[str, str]:
    return {key: WRITTEN.get(key, "{:,.0f}").format(value) for key, value in facts.items()}


def _columns(text: str) -> int:
    """How wide a terminal shows the text: Japanese letters take two columns."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
