"""Every string a person sees, in English and Japanese: one JSON file a language, the same keys in each."""

import json
import os
from functools import cache
from pathlib import Path

from lowrank_kit.checks import check_name

__all__ = ["LANGUAGES", "default_language", "strings"]

LANGUAGES = ("en", "ja")


def default_language() -> str:
    """The language that LOWRANK_KIT_LANG names, else Japanese in a notebook of a folder `ja`, else English.

    Raises InputError for a language the kit does not speak.
    """
    notebook = Path(os.environ.get("JPY_SESSION_NAME", ""))
    language = os.environ.get("LOWRANK_KIT_LANG") or ("ja" if notebook.parent.name == "ja" else "en")
    check_name(language, LANGUAGES, name="LOWRANK_KIT_LANG")
    return language


def strings(room: str, language: str) -> dict[str, str]:
    """{key: text} of a room (such as "board", "doctor" or "plots"), with {placeholders} for values."""
    check_name(language, LANGUAGES, name="language")
    return _read(language)[room]


@cache
def _read(language: str) -> dict[str, dict[str, str]]:
    return json.loads((Path(__file__).parent / f"{language}.json").read_text(encoding="utf-8"))
