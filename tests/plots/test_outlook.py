"""What is drawn of an outlook is what it holds, in both languages and themes."""

from dataclasses import replace

import numpy as np
import pytest

from lowrank_kit.plots import picture, plot_outlook, plot_roofline, plot_staircase
from lowrank_kit.records import Ceilings, Layer, LayerOutlook, LayerShape, Rival

ROOF = Ceilings("a device", "float32", "ieee", 1, "2", "today", 4e10, ((1e4, 9e10), (1e8, 2e10)), 3e-6, 4)


@pytest.fixture
def outlook():
    ranks = np.arange(1, 31)[:, None]
    costs = np.outer(ranks[:, 0], np.ones(7)) * 1e-5
    return LayerOutlook(
        Layer("net", "conv2", LayerShape(64, 32)), "svd", {"batch": 1}, ranks, 1e5 * ranks[:, 0],
        1e4 + 100.0 * ranks[:, 0], costs.sum(axis=1) / 3, costs, ("faster",) * 30, 2e6, 3e4, 2e-4, np.full(7, 1.5e-4),
        np.array([7, 15]), np.array([5e-4, 1.1e-3]), np.array([4e-4, 1e-3]), np.array([6e-4, 1.4e-3]),
        (1.2e-3, 1.1e-3, 1.3e-3),
    )  # fmt: skip


def dense_levels(ax):
    level = (a for a in ax.get_lines() if list(a.get_xdata()) == [0, 1] and len(set(a.get_ydata())) == 1)
    return {found.get_linestyle(): found.get_ydata()[0] for found in level}


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
    empty = np.empty(0)
    bare = replace(outlook, timed=np.empty(0, int), medians=empty, lows=empty, highs=empty, dense_timed=None)
    for ax in (plot_staircase(bare), plot_roofline(bare, ROOF)):
        assert "recorded" not in ax.get_legend_handles_labels()[1]
    assert dense_levels(plot_staircase(bare)) == pytest.approx({"-": 1e3 * outlook.dense_s})
    assert dense_levels(plot_staircase(outlook)) == pytest.approx({"-": 1.2, ":": 1e3 * outlook.dense_s})


def test_the_roof_is_flat_behind_its_slope(outlook):
    ax = plot_roofline(outlook, ROOF)
    roof = ax.get_lines()[0]
    assert max(roof.get_ydata()) <= ROOF.macs_per_s / 1e9
    assert line(ax, "predicted").get_ydata() == pytest.approx(outlook.macs / outlook.foretold_s / 1e9)
    assert line(ax, "predicted").get_xdata() == pytest.approx(outlook.macs / outlook.moved / 4)
    assert line(ax, "recorded").get_ydata() == pytest.approx(outlook.macs[[7, 15]] / outlook.medians / 1e9)


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


def marks(ax):
    """Where rings stand, which are filled with paper."""
    paper = ax.figure.theme.paper
    return [(m.get_xdata()[0], m.get_ydata()[0]) for m in ax.get_lines() if m.get_markerfacecolor() == paper]


@pytest.mark.parametrize(("share", "index"), [(0.0, 0), (0.26, 7), (1.0, 29)])
def test_a_ring_marks_the_rank_nearest_to_a_share(outlook, share, index):
    ((rank, time),) = marks(plot_staircase(outlook, at=share))
    assert (rank, time) == (index + 1, pytest.approx(1e3 * outlook.foretold_s[index]))
    ((x, y),) = marks(plot_roofline(outlook, ROOF, at=share))
    assert x == pytest.approx(outlook.macs[index] / outlook.moved[index] / 4)
    assert y == pytest.approx(outlook.macs[index] / outlook.foretold_s[index] / 1e9)


def test_without_a_share_there_is_no_ring(outlook):
    assert marks(plot_staircase(outlook)) == marks(plot_roofline(outlook, ROOF)) == []


def test_rivals_stand_where_they_do_as_much_or_at_the_edge(outlook):
    """A dense layer of a quarter of the 2e6 multiply-adds beside rank 5, which does 5e5."""
    rivals = (Rival("narrow", 0.25, 4e-4), Rival("narrow", 0.5, 8e-4), Rival("int8", 1.0, 3e-4))
    ax = plot_staircase(replace(outlook, rivals=rivals))
    squares = line(ax, "dense, fewer channels")
    assert squares.get_xdata() == pytest.approx([5, 10]) and squares.get_ydata() == pytest.approx([0.4, 0.8])
    assert [text.get_text() for text in ax.texts] == ["dense", "int8"]
    assert ax.texts[1].xy == (1, pytest.approx(0.3))
    assert "dense, fewer channels" not in plot_staircase(outlook).get_legend_handles_labels()[1]


def test_everything_is_below_the_top(outlook):
    high = replace(outlook, rivals=(Rival("bfloat16", 1.0, 9e-3),))
    assert plot_staircase(high).get_ylim() == pytest.approx((0, 1.25 * 9))
    assert plot_staircase(outlook).get_ylim() == pytest.approx((0, 1.25 * 1e3 * outlook.foretold_s.max()))


def test_of_two_ranks_the_outputs_are_drawn(outlook):
    pairs = np.repeat(outlook.ranks, 2, axis=1) // [1, 2] + 1
    shape = LayerShape(64, 32, (3, 3), (4, 4), (4, 4))
    found = replace(outlook, ranks=pairs, method="tucker", layer=Layer("net", "conv2", shape))
    ax = plot_staircase(found, language="en")
    assert ax.get_xlabel() == "rank of the outputs"
    assert line(ax, "predicted").get_xdata() == pytest.approx(pairs[:, 0])
    assert plot_staircase(outlook, language="en").get_xlabel() == "rank"


@pytest.mark.parametrize(("seconds", "unit"), [(2.0, "s"), (0.02, "ms"), (3e-5, "µs"), (1e-8, "µs")])
def test_units_suit_the_dense_time(outlook, seconds, unit):
    assert plot_staircase(replace(outlook, dense_costs=np.full(7, seconds / 7))).get_ylabel() == unit
