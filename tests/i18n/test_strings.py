import re
from pathlib import Path

import pytest

import lowrank_kit.i18n
from lowrank_kit.checks import InputError
from lowrank_kit.i18n import LANGUAGES, default_language, strings
from lowrank_kit.widgets.assets import module

ROOMS = (
    "board",
    "diagnosis",
    "doctor",
    "dynamics",
    "latency",
    "latent",
    "lessons",
    "live",
    "player",
    "plots",
    "tucker",
)
KEYS = [(room, key) for room in ROOMS for key in strings(room, "en")]
# The button that names the other language, and what has one name everywhere.
SAME = {"language", "name_jupyterlab", "name_python", "name_pytorch", "name_voila", "tucker"}


@pytest.mark.parametrize("room", ROOMS)
def test_every_language_has_the_same_keys(room):
    assert strings(room, "ja").keys() == strings(room, "en").keys()


@pytest.mark.parametrize(("room", "key"), KEYS)
def test_every_language_fills_the_same_places(room, key):
    places = [set(re.findall(r"\{(\w+)\}", strings(room, language)[key])) for language in LANGUAGES]
    if key != "unit":  # units are English words, which Japanese sentences do without
        assert places[0] == places[1]


@pytest.mark.parametrize(("room", "key"), KEYS)
def test_nothing_is_left_untranslated(room, key):
    english = strings(room, "en")[key]
    if re.search(r"[a-z]{4}", re.sub(r"\{\w+\}", "", english)) and key not in SAME:
        assert strings(room, "ja")[key] != english


BOARDS = {
    "rank_board": ["board"],
    "tucker_board": ["board", "tucker"],
    "latency_board": ["latency"],
    "latent_board": ["latent"],
    "training_player": ["player"],
    "dynamics_player": ["dynamics"],
    "live_player": ["live"],
}


@pytest.mark.parametrize(("board", "rooms"), BOARDS.items())
def test_a_board_asks_for_no_other_strings(board, rooms):
    asked = set(re.findall(r"\bt\.(\w+)", module(board)))
    assert asked <= {key for room in rooms for key in strings(room, "en")}


HOMES = {
    "board": "widgets",
    "dynamics": "widgets",
    "latency": "widgets",
    "latent": "widgets",
    "live": "widgets",
    "player": "widgets",
    "diagnosis": "methods",
    "doctor": "doctor",
    "lessons": "lessons",
    "plots": "plots",
    "tucker": "widgets",
}


@pytest.mark.parametrize(("room", "home"), HOMES.items())
def test_no_string_is_unused(room, home):
    package = Path(lowrank_kit.i18n.__file__).parents[1]
    text = "\n".join(p.read_text(encoding="utf-8") for p in (package / home).rglob("*") if p.suffix in {".py", ".js"})
    # Some are asked for by a name put together at run time: f"of_{cost}", t[`axis_${cost}`], f"{kind}_{side}".
    templates = re.findall(r"""["'`]((?:\w|\$?\{[^{}]*\})+)["'`]""", text)
    composed = "|".join(re.sub(r"\$?\{[^{}]*\}", r"\\w+", t) for t in templates if "{" in t) + "$^"
    unused = {
        key
        for key in strings(room, "en")
        if not re.search(rf"""(\bt\.{key}\b|["']{key}["'])""", text) and not re.match(composed, key)
    }
    assert not unused


def test_the_language_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("LOWRANK_KIT_LANG", "ja")
    assert default_language() == "ja"
    monkeypatch.setenv("LOWRANK_KIT_LANG", "fr")
    with pytest.raises(InputError, match="'en', 'ja'"):
        default_language()


@pytest.mark.parametrize(("notebook", "language"), [("x/ja/00_map.ipynb", "ja"), ("x/00_map.ipynb", "en")])
def test_a_japanese_edition_speaks_japanese_by_itself(monkeypatch, notebook, language):
    monkeypatch.delenv("LOWRANK_KIT_LANG", raising=False)
    monkeypatch.setenv("JPY_SESSION_NAME", notebook)
    assert default_language() == language
