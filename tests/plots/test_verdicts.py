"""The strips of a network's time are as long as the times, and coloured by their verdicts."""

import pytest
from matplotlib.colors import to_hex

from lowrank_kit.i18n import strings
from lowrank_kit.maths.verdicts import VERDICTS
from lowrank_kit.methods.outlook import network_outlook
from lowrank_kit.plots import THEMES, picture
from lowrank_kit.plots.verdicts import COLOURS, ROOM, plot_verdicts
from lowrank_kit.studies.catalogue import CATALOGUE
from tests.known_times import CPU, known_table

RESNET = [layer for layer in CATALOGUE if layer.network == "resnet50"]


@pytest.fixture(scope="module")
def outlook():
    return network_outlook(RESNET, known_table(CPU))


def bars(ax):
    """The dense strip's parts and the other's, from the left."""
    found = [patch for container in ax.containers for patch in container]
    return found[: len(RESNET)], found[len(RESNET) :]


def test_every_verdict_has_a_colour_in_its_order():
    assert tuple(COLOURS) == VERDICTS


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.97])
def test_parts_are_as_long_as_their_times(outlook, share):
    ax = plot_verdicts(outlook, share, language="en")
    for parts, seconds in zip(bars(ax), (outlook.dense_s, outlook.foretold_s(share)), strict=True):
        assert [part.get_width() for part in parts] == pytest.approx(1e3 * seconds)
        ends = [part.get_x() + part.get_width() for part in parts]
        assert [part.get_x() for part in parts] == pytest.approx([0, *ends[:-1]])
    assert ax.get_xlabel() == "ms"
    assert ax.get_xlim()[1] == pytest.approx(1e3 * max(outlook.dense_s.sum(), outlook.foretold_s(share).sum()))


@pytest.mark.parametrize("share", [0.05, 0.6, 0.97])
def test_colours_and_their_key_are_the_verdicts(outlook, share):
    ax = plot_verdicts(outlook, share, language="en")
    verdicts = outlook.verdicts(share)
    assert [to_hex(part.get_facecolor()) for part in bars(ax)[1]] == [COLOURS[verdict] for verdict in verdicts]
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert told == [strings("latency", "en")[name] for name in VERDICTS if name in verdicts]


def test_figures_stand_where_there_is_room(outlook):
    ax = plot_verdicts(outlook, 0.9)
    dense, cut = outlook.dense_s, outlook.foretold_s(0.9)
    wide = [i for i, part in enumerate(cut) if part > ROOM * max(dense.sum(), cut.sum())]
    assert [text.get_text() for text in ax.texts] == [f"{dense[i] / cut[i]:.2g}×" for i in wide] != []


def test_the_title_sums_it_up(outlook):
    title = plot_verdicts(outlook, 0.25, language="en").get_title(loc="left")
    speed = outlook.dense_s.sum() / outlook.foretold_s(0.25).sum()
    words = {"network": "resnet50", "macs": f"{outlook.saved_macs(0.25):.2g}", "speed": f"{speed:.2g}"}
    assert title == strings("plots", "en")["verdicts_title"].format(**words)
    assert all(value in title for value in words.values())


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("theme", THEMES)
def test_it_is_drawn_without_a_warning(outlook, language, theme):
    figure = plot_verdicts(outlook, 0.25, language=language, theme=theme).figure
    assert "resnet50" in figure.description and "25%" in figure.description
    assert figure._repr_png_()[0].startswith(b"\x89PNG")


def test_it_draws_on_given_axes(outlook):
    figure = picture()
    with figure.styled():
        ax = figure.subplots()
    assert plot_verdicts(outlook, 0.5, ax=ax) is ax
