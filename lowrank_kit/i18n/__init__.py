"""Every string a person sees on a board, in English and Japanese: one JSON file a language, the same keys in each."""

import json
import os
from functools import cache
from pathlib import Path

from lowrank_kit.checks import check_name

__all__ = ["LANGUAGES", "default_language", "strings"]

LANGUAGES = ("en", "ja")


def default_language() -> str:
    """The language that LOWRANK_KIT_LANG names, else English. Raises InputError for one the kit does not speak."""
    language = os.environ.get("LOWRANK_KIT_LANG", "en")
    check_name(language, LANGUAGES, name="LOWRANK_KIT_LANG")
    return language


@cache
def strings(language: str) -> dict[str, str]:
    """{key: text}, with {placeholders} for values."""
    check_name(language, LANGUAGES, name="language")
    return json.loads((Path(__file__).parent / f"{language}.json").read_text(encoding="utf-8"))
