"""Pictures of capacity show the ranks and recalls that they are given."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.plots import THEMES, plot_capacities, plot_recall, plot_search
from lowrank_kit.records import JointSearch, RankCurve, SearchStep, Spectrum

LABELS = np.repeat([0, 1], 10)


def curve(layer, *wrong):
    """Twenty examples, of which so many are wrong at ranks 1, 2, 4, ...; all are right when dense."""
    predictions = np.tile(LABELS, (len(wrong), 1))
    for row, n in zip(predictions, wrong, strict=True):
        row[:n] = 7
    return RankCurve(layer, (16, 24), 2 ** np.arange(len(wrong)), LABELS, LABELS, predictions)


@pytest.fixture
def curves():
    return {"fc1": curve("fc1", 15, 8, 1, 0), "head": curve("head", 9, 0)}


@pytest.fixture
def spectra():
    return {
        "fc1": Spectrum(np.array([4.0, 2, 1, 1]), (4, 9), "fc1"),
        "head": Spectrum(np.array([1.0, 1]), (2, 4), "head"),
    }


@pytest.fixture
def search():
    steps = [({"a": 2, "b": 3}, 500, 0.5, ""), ({"a": 4, "b": 6}, 1000, 1.0, ""), ({"a": 4, "b": 5}, 950, 0.995, "b")]
    return JointSearch(tuple(SearchStep(*step) for step in steps), 0.01, 1.0, 4000, 200)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_all_are_drawn_without_a_warning(curves, spectra, search, language, theme):
    look = {"language": language, "theme": theme}
    for figure in (
        plot_recall(curves, curves, {"fc1": 4, "head": 2}, **look),
        plot_capacities(spectra, {"fc1": 2, "head": 1}, **look),
        plot_search(search, 0.98, **look),
    ):
        assert len(figure._repr_png_()[0]) > 5_000
        assert repr(figure) == f"Picture({figure.description})"


def test_recall_is_drawn_over_what_was_never_seen(curves):
    unseen = {name: curve(name, *([3] * len(c.ranks))) for name, c in curves.items()}
    figure = plot_recall(curves, unseen, {"fc1": 4, "head": 2})
    marked, level, grey, blue = figure.axes[0].lines
    assert marked.get_xdata() == [4, 4]
    assert level.get_ydata() == [1, 1]
    assert np.allclose(grey.get_ydata(), 17 / 20)
    assert np.allclose(blue.get_ydata(), [5 / 20, 12 / 20, 19 / 20, 1])
    assert blue.get_xdata().tolist() == [1, 2, 4, 8]
    assert [t.get_text() for t in figure.axes[1].texts] == ["2"]


def test_the_last_points_are_told_apart(curves):
    """99 % and 100 % lie further from each other than 10 % and 20 %, and 100 % is not at infinity."""
    ax = plot_recall(curves, curves, {"fc1": 4, "head": 2}).axes[0]
    heights = ax.transData.transform([(1, y) for y in (0.1, 0.2, 0.99, 1)])[:, 1]
    assert heights[3] - heights[2] > 2 * (heights[1] - heights[0]) > 0
    assert np.isfinite(heights).all()
    back = ax.transData.inverted().transform(ax.transData.transform([(1, 0.37)]))[0, 1]
    assert back == pytest.approx(0.37)


def test_recall_needs_both_curves_and_a_capacity_of_every_layer(curves):
    with pytest.raises(InputError, match="got fc1, head; fc1; fc1, head"):
        plot_recall(curves, {"fc1": curves["fc1"]}, {"fc1": 1, "head": 1})
    with pytest.raises(InputError, match="at least one"):
        plot_recall({}, {}, {})


def test_capacities_stand_beside_what_the_weights_say(spectra):
    figure = plot_capacities(spectra, {"fc1": 2, "head": 1}, language="en")
    shown = {line.get_label(): line.get_xdata() for line in figure.axes[0].lines}
    assert np.allclose(shown["full rank"], [4, 2])
    assert np.allclose(shown["90% of the energy"], [2, 2])
    assert np.allclose(shown["stable rank"], [22 / 16, 2])
    assert np.allclose(shown["effective rank"], [s.effective_rank for s in spectra.values()])
    assert np.allclose(shown["functional capacity"], [2, 1])


def test_capacities_are_of_the_same_layers(spectra):
    with pytest.raises(InputError, match="got fc1, head and fc1"):
        plot_capacities(spectra, {"fc1": 2})


def test_the_search_is_drawn_step_by_step(search):
    figure = plot_search(search, 0.98, language="en")
    scaled, shrunk, expected, best = figure.axes[0].lines
    assert (list(scaled.get_xdata()), list(scaled.get_ydata())) == ([500, 1000], [0.5, 1.0])
    assert (list(shrunk.get_xdata()), list(shrunk.get_ydata())) == ([1000, 950], [1.0, 0.995])
    assert (list(expected.get_xdata()), list(expected.get_ydata())) == ([500], [0.98])
    assert list(best.get_xdata()) == [950]
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["losses added up: 98.0%", "measured together: 50.0%", "joint capacity: 950"]
