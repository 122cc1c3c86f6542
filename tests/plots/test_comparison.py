"""The comparison shows every change, its interval, and what is left."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import strings
from lowrank_kit.plots import THEMES, plot_comparison


def line(method, change, low, high, left=0.1):
    sizes = {"convolutions": 1000 * left, "params": 2000 * left, "macs": 5000 * left}
    return (
        {"method": method, "seeds": 5, "accuracy": 0.98 + change, "change": change}
        | sizes
        | {
            "change_low": low,
            "change_high": high,
        }
    )


@pytest.fixture
def lines():
    return [
        line("dense", 0.0, 0.0, 0.0, 1.0),
        line("tdlrt", -0.004, -0.006, -0.002),
        line("cut-svd", -0.6, -0.8, -0.4, 0.125),
        line("pruned-tuned", 0.001, -0.001, 0.003),
    ]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_is_drawn_without_a_warning(lines, language, theme):
    figure = plot_comparison(lines, language=language, theme=theme)
    assert len(figure._repr_png_()[0]) > 5_000
    assert "tdlrt, cut-svd, pruned-tuned" in figure.description and "5" in figure.description


def test_a_row_for_every_method_but_the_dense_one(lines):
    ax, beside = plot_comparison(lines, language="en").axes
    assert next(t.get_text() for t in ax.get_yticklabels()) == "rank-adaptive (TDLRT)"
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert np.allclose([dot.get_xdata()[0] for dot in dots], [-0.4, -60, 0.1])
    assert "dense (98.00%)" in ax.get_xlabel()
    numbers = [t.get_text() for t in beside.texts[:4]]
    assert numbers == ["−0.40", "10.0%", "10.0%", "10.0%"]
    assert [t.get_text() for t in beside.texts[4:8]] == ["−60", "12.5%", "12.5%", "12.5%"]


def test_intervals_are_within_the_axis(lines):
    ax, _ = plot_comparison(lines).axes
    low, high = ax.get_xlim()
    assert low < -80 and high > 0.3
    assert next(c.get_segments()[0][:, 0].tolist() for c in ax.collections) == pytest.approx([-0.6, -0.2])


def test_one_method_stands_out(lines):
    ax, _ = plot_comparison(lines, marked="cut-svd").axes
    colours = [line.get_color() for line in ax.lines if line.get_marker() == "o"]
    assert colours[0] == colours[2] != colours[1]


def test_every_way_of_the_comparison_has_a_name():
    words = {key for key in strings("plots", "en") if key.startswith("way_")}
    assert {"way_tdlrt", "way_narrow_macs", "way_dlrt", "way_pruned_tuned"} <= words


@pytest.mark.parametrize("some", [[], [0], [1, 2]])
def test_needs_the_dense_network_and_another(lines, some):
    with pytest.raises(InputError, match="dense network"):
        plot_comparison([lines[i] for i in some])
