"""Loss curves are drawn where they are, on one axis of losses."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.plots import THEMES, plot_losses
from lowrank_kit.records import LossCurve

STEPS = np.array([7, 14, 21])


def curve(method, decay, rate, *losses):
    return LossCurve(method, decay, rate, STEPS, np.array(losses))


@pytest.fixture
def curves():
    return [
        curve("adaptive", 0.0, 0.5, [2.0, 1.0, 0.5], [2.0, 1.0, 0.1]),
        curve("vanilla", 0.0, 0.1, [2.0, 1.5, 1.0], [2.0, 1.9, 1.4]),
        curve("adaptive", 1.0, 0.3, [2.0, 0.1, 0.0]),
        curve("vanilla", 1.0, 0.05, [2.0, np.inf, np.inf]),
    ]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_is_drawn_without_a_warning(curves, language, theme):
    figure = plot_losses(curves, language=language, theme=theme)
    assert len(figure._repr_png_()[0]) > 5_000
    assert "adaptive, vanilla" in figure.description and "0, 1" in figure.description


def test_a_panel_for_every_decay_with_its_rates(curves):
    first, second = plot_losses(curves, language="en").axes
    assert {t.get_text() for t in first.texts} == {"rate 0.5", "rate 0.1"}
    assert [ax.get_title(loc="left") for ax in (first, second)] == ["core decay δ = 0", "core decay δ = 1"]
    assert np.allclose(first.lines[0].get_ydata(), [2, 1, 0.3])
    assert first.get_ylim() == second.get_ylim()


def test_zero_is_drawn_at_the_lower_end_and_what_broke_off_ends(curves):
    adaptive, vanilla = plot_losses(curves).axes[1].lines
    assert adaptive.get_ydata()[-1] == 1e-9
    assert np.isnan(vanilla.get_ydata()).tolist() == [False, True, True]


def test_the_range_of_the_seeds_is_shaded(curves):
    first, second = plot_losses(curves).axes
    assert (len(first.collections), len(second.collections)) == (2, 0)


def test_needs_a_curve():
    with pytest.raises(InputError, match="at least one"):
        plot_losses([])


def test_a_curve_says_where_it_ends(curves):
    assert repr(curves[0]) == "LossCurve(adaptive, decay 0, rate 0.5: loss 0.3 after 21 steps)"
    assert curves[3].last == np.inf


def test_labels_keep_apart():
    same = [curve(method, 0.0, 0.1, [1.0, 0.5, 0.1]) for method in ("dense", "vanilla", "adaptive")]
    heights = sorted(t.xy[1] for t in plot_losses(same).axes[0].texts)
    assert heights[1] - heights[0] > 0.06 and heights[2] - heights[1] > 0.06
