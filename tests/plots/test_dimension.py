from dataclasses import replace

import numpy as np
import pytest

from lowrank_kit.plots import THEMES, plot_diagnosis
from lowrank_kit.plots.figure import DRAWN_DPI
from lowrank_kit.records import Diagnosis, Estimate


@pytest.fixture
def found():
    return Diagnosis(
        name="made up", n_points=900, n_used=500, n_dims=80, variances=3.0 / np.arange(1, 61) ** 2, noise=0.02,
        two_nn=Estimate(6.2, 5.5, 7.0), maximum_likelihood=Estimate(5.8, 5.6, 6.0), neighbours=10, flat=11.5,
        largest_share=0.2, width=80,
    )  # fmt: skip


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_is_drawn_without_a_warning(found, language, theme):
    figure = plot_diagnosis(found, language=language, theme=theme)
    assert len(figure._repr_png_()[0]) > 10_000
    assert repr(figure) == f"Picture({figure.description})"
    assert "made up" in figure.description


@pytest.mark.parametrize("language", ["en", "ja"])
def test_figures_stay_within_their_panel(found, language):
    """The widest intervals and the longest numbers among them."""
    for each in (found, replace(found, n_dims=3_072_000, two_nn=Estimate(31.6, 9.6, 73.6))):
        figure = plot_diagnosis(each, language=language)
        figure._repr_png_()
        for text in figure.axes[1].texts:
            assert text.get_window_extent().x1 / DRAWN_DPI <= figure.get_figwidth()


def test_directions_above_noise_are_marked_and_counted(found):
    ax = plot_diagnosis(found, language="en").axes[0]
    assert ax.get_title(loc="left") == "made up: 12 of 60 directions above noise"
    assert np.allclose(ax.collections[-1].get_offsets()[:, 1], found.variances[:12])
    assert ax.patches[0].get_y() + ax.patches[0].get_height() == pytest.approx(found.noise)


def test_without_noise_there_is_no_band(found):
    assert not plot_diagnosis(replace(found, noise=0.0)).axes[0].patches


def test_variances_far_below_are_left_out(found):
    values = np.r_[found.variances[:5], np.zeros(55)]
    ax = plot_diagnosis(replace(found, variances=values, noise=0.0)).axes[0]
    assert len(ax.lines[0].get_ydata()) == 5


def test_shares_of_the_variance_are_marked_where_they_are_reached(found):
    ax = plot_diagnosis(found, language="en").axes[0]
    written = [text.get_text() for text in ax.texts if "%" in text.get_text()]
    assert written == [f"{p}%: {found.directions(p / 100)}" for p in (90, 95, 99)]
    assert [line.get_xdata()[0] for line in ax.lines[-3:]] == [found.directions(p / 100) for p in (90, 95, 99)]


def test_every_measure_stands_with_its_number_and_interval(found):
    ax = plot_diagnosis(found, language="en").axes[1]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in dots] == pytest.approx(
        [6.2, 5.8, 11.5, found.participation_ratio, 12, *(found.directions(f) for f in (0.9, 0.95, 0.99)), 80]
    )
    bars = [line.get_xdata() for line in ax.lines if line.get_marker() != "o"]
    assert np.allclose(bars, [found.two_nn[1:], found.maximum_likelihood[1:]])
    assert [t.get_text() for t in ax.texts][:2] == ["6.2 [5.5, 7.0]", "5.8 [5.6, 6.0]"]
    assert len(ax.get_yticklabels()) == len(dots) == len(ax.texts)


def test_none_above_noise_is_an_open_dot_at_the_edge(found):
    ax = plot_diagnosis(replace(found, noise=9.0), language="en").axes[1]
    dot = [line for line in ax.lines if line.get_marker() == "o"][4]
    assert dot.get_markerfacecolor() == THEMES["light"].paper
    assert ax.texts[4].get_text() == "0"
    assert ax.get_xlim()[0] < dot.get_xdata()[0] < 1
