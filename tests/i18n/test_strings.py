import re
from pathlib import Path

import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import LANGUAGES, default_language, strings
from lowrank_kit.widgets.assets import module

ENGLISH = strings("en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys(language):
    assert strings(language).keys() == ENGLISH.keys()


@pytest.mark.parametrize("key", ENGLISH)
def test_every_language_fills_the_same_places(key):
    places = {language: set(re.findall(r"\{(\w+)\}", strings(language)[key])) for language in LANGUAGES}
    assert len({frozenset(found) for found in places.values()}) == 1, places


@pytest.mark.parametrize("key", ENGLISH)
def test_nothing_is_left_untranslated(key):
    if re.search(r"[a-z]{4}", re.sub(r"\{\w+\}", "", ENGLISH[key])) and key != "language":
        assert strings("ja")[key] != ENGLISH[key]


def test_the_board_asks_for_no_other_strings():
    asked = set(re.findall(r"\bt\.(\w+)", module("rank_board")))
    assert asked <= ENGLISH.keys()


def test_no_string_is_unused():
    package = Path(strings.__wrapped__.__code__.co_filename).parents[1]
    sources = [p.read_text(encoding="utf-8") for p in package.rglob("*") if p.suffix in {".py", ".js"}]
    text = "\n".join(sources)
    # Some are asked for by a name put together at run time: of_params and of_macs, axis_params and axis_macs.
    composed = {f"{stem}_{cost}" for stem in ("of", "axis") for cost in ("params", "macs")}
    unused = {key for key in ENGLISH if not re.search(rf"""(\bt\.{key}\b|["']{key}["'])""", text)} - composed
    assert not unused


def test_the_language_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("LOWRANK_KIT_LANG", "ja")
    assert default_language() == "ja"
    monkeypatch.setenv("LOWRANK_KIT_LANG", "fr")
    with pytest.raises(InputError, match="'en', 'ja'"):
        default_language()
