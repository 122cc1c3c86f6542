"""Curves and singular values are drawn where they are."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.plots import THEMES, picture, plot_adaptation, plot_update_values
from lowrank_kit.records import AccuracyCurve, UpdateValues


def curve(method, axis, at, mean, spread=0.02):
    mean = np.array(mean)
    return AccuracyCurve(method, axis, np.array(at), mean, mean - spread, mean + spread, 10, 500)


@pytest.fixture
def curves():
    at = [16, 64, 256]
    found = [curve("zero-shot", "examples", at, [0.65] * 3, 0)]
    means = {"lora": [0.88, 0.92, 0.96], "deep-lora": [0.87, 0.93, 0.97], "full": [0.88, 0.93, 0.985]}
    return found + [curve(name, "examples", at, mean) for name, mean in means.items()]


@pytest.fixture
def values(rng):
    steps = np.array([1.0, 0.5, 1e-2, 1e-9])
    return [
        UpdateValues(method, layer, size * steps * rng.uniform(0.9, 1.1, (10, 1)), rank, 16)
        for method, size, rank in (("lora", 1.0, 3), ("deep-lora", 0.5, 3), ("full", 2.0, None))
        for layer in ("block1.attention.qkv", "block4.mlp.fc1")
    ]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_are_drawn_without_a_warning(curves, values, language, theme):
    ranks = [curve("deep-lora", "rank", [2, 64], [0.8, 0.9])]
    figures = [
        plot_adaptation(curves, language=language, theme=theme),
        plot_adaptation(ranks, language=language, theme=theme),
        plot_update_values(values, language=language, theme=theme),
    ]
    assert all(len(figure._repr_png_()[0]) > 5_000 for figure in figures)
    assert "zero-shot, lora, deep-lora, full" in figures[0].description
    assert "block1.attention.qkv, block4.mlp.fc1" in figures[2].description


def test_curves_stand_side_by_side_at_their_places(curves):
    (ax,) = plot_adaptation(curves).axes
    before, *lines = ax.lines
    assert before.get_ydata()[0] == 0.65
    assert np.allclose(lines[1].get_xdata(), [16, 64, 256])  # the middle one of three
    assert all(lines[0].get_xdata() < [16, 64, 256]) and all(lines[2].get_xdata() > [16, 64, 256])
    for line, given in zip(lines, curves[1:], strict=True):
        assert np.array_equal(line.get_ydata(), given.mean)
    ends = [segment[:, 1] for segment in ax.collections[0].get_segments()]
    assert np.allclose(ends, np.stack([curves[1].low, curves[1].high], axis=1))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["16", "64", "256"]


def test_draws_on_a_given_axis(curves):
    figure = picture()
    ax = figure.subplots()
    assert plot_adaptation(curves, ax=ax) is figure and len(ax.lines) == 4


def test_values_are_medians_over_seeds_as_many_as_the_rank(values):
    first, second = plot_update_values(values).axes
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("block1.attention.qkv", "block4.mlp.fc1")
    assert [line.get_xdata().tolist() for line in first.lines] == [[1, 2, 3], [1, 2, 3], [1, 2, 3, 4]]
    for line, given in zip(first.lines, values[::2], strict=True):
        assert np.array_equal(line.get_ydata(), np.median(given.values[:, : given.rank], axis=0))
    assert first.get_ylim() == second.get_ylim()


def test_values_too_small_leave_the_panel():
    (ax,) = plot_update_values([UpdateValues("full", "fc1", np.array([[1.0, 0.0]] * 2))]).axes
    assert ax.lines[0].get_ydata()[1] < ax.get_ylim()[0]


def test_says_what_is_wrong(curves):
    with pytest.raises(InputError, match="same axis"):
        plot_adaptation([*curves, curve("lora", "rank", [2], [0.5])])
    with pytest.raises(InputError, match="at least one"):
        plot_adaptation([])
    with pytest.raises(InputError, match="one layer at least"):
        plot_update_values([])
    with pytest.raises(InputError, match=r"equally long; got sizes \[1, 2\]"):
        curve("lora", "rank", [2], [0.5, 0.6])
