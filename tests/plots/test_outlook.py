"""What is drawn of an outlook is what it holds, in both languages and themes."""

import numpy as np
import pytest

from lowrank_kit.plots import picture, plot_outlook, plot_roofline, plot_staircase
from lowrank_kit.records import Ceilings, LayerOutlook, LayerShape

ROOF = Ceilings("a device", "float32", "ieee", 1, "2", "today", 4e10, ((1e4, 9e10), (1e8, 2e10)), 3e-6, 4)


@pytest.fixture
def outlook():
    ranks = np.arange(1, 31)[:, None]
    costs = np.outer(ranks[:, 0], np.ones(7)) * 1e-5
    return LayerOutlook(
        "net", "conv2", LayerShape(64, 32), "svd", {"batch": 1}, ranks, 1e5 * ranks[:, 0], 1e4 + 100.0 * ranks[:, 0],
        costs.sum(axis=1) / 3, costs, ("faster",) * 30, 2e6, 3e4, 2e-4, np.full(7, 1.5e-4), np.array([7, 15]),
        np.array([5e-4, 1.1e-3]), np.array([4e-4, 1e-3]), np.array([6e-4, 1.4e-3]), (1.2e-3, 1.1e-3, 1.3e-3),
    )  # fmt: skip


def line(ax, label):
    return next(found for found in ax.get_lines() if found.get_label() == label)


def test_the_staircase_draws_times_in_a_unit_that_suits(outlook):
    ax = plot_staircase(outlook)
    assert ax.get_ylabel() == "ms"
    assert line(ax, "predicted").get_ydata() == pytest.approx(outlook.foretold_s * 1e3)
    assert line(ax, "bare roofline").get_ydata() == pytest.approx(outlook.bound_s * 1e3)
    (bars,) = ax.containers
    assert bars[0].get_xdata() == pytest.approx([8, 16])
    assert bars[0].get_ydata() == pytest.approx([0.5, 1.1])
    ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
    assert ends == pytest.approx(np.array([[0.4, 0.6], [1.0, 1.4]]))


def test_what_was_not_timed_is_not_drawn_as_measured(outlook):
    from dataclasses import replace

    empty = np.empty(0)
    bare = replace(outlook, timed=np.empty(0, int), medians=empty, lows=empty, highs=empty, dense_timed=None)
    for ax in (plot_staircase(bare), plot_roofline(bare, ROOF)):
        assert "measured" not in ax.get_legend_handles_labels()[1]


def test_the_roof_is_flat_behind_its_slope(outlook):
    ax = plot_roofline(outlook, ROOF)
    roof = ax.get_lines()[0]
    assert max(roof.get_ydata()) <= ROOF.macs_per_s / 1e9
    assert line(ax, "predicted").get_ydata() == pytest.approx(outlook.macs / outlook.foretold_s / 1e9)
    assert line(ax, "predicted").get_xdata() == pytest.approx(outlook.macs / outlook.moved / 4)
    assert line(ax, "measured").get_ydata() == pytest.approx(outlook.macs[[7, 15]] / outlook.medians / 1e9)


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_stand_side_by_side(outlook, language, theme):
    figure = plot_outlook(outlook, ROOF, language=language, theme=theme)
    assert len(figure.axes) == 2
    assert "conv2" in figure.description
    assert figure._repr_png_()[0].startswith(b"\x89PNG")


def test_it_draws_on_given_axes(outlook):
    figure = picture()
    with figure.styled():
        ax = figure.subplots()
    assert plot_staircase(outlook, ax=ax) is ax
