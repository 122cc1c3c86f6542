"""Pictures of deep linear networks in training: what is drawn is what the trajectory holds."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.methods.simulation import Settings, Simulation
from lowrank_kit.plots import (
    THEMES,
    picture,
    plot_block,
    plot_dynamics,
    plot_layer_values,
    plot_scatter,
    plot_twins,
)


def simulated(**settings):
    simulation = Simulation(Settings(**{"width": 8, "rank": 2, "steps": 50, "learning_rate": 0.01} | settings))
    list(simulation.run())
    return simulation.trajectory


@pytest.fixture(scope="module")
def trajectory():
    return simulated()


def curves(ax):
    """The lines over the steps, without those that mark one."""
    return [line for line in ax.lines if len(set(line.get_xdata())) > 1]


def marks(ax):
    return [line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1]


def columns(lines):
    return np.stack([line.get_ydata() for line in lines], axis=1)


def by_colour(ax, colour):
    return columns([line for line in curves(ax) if line.get_color() == colour])


@pytest.mark.parametrize(("language", "theme"), [("en", "light"), ("ja", "dark")])
def test_are_drawn_without_a_warning(trajectory, language, theme):
    options = {"language": language, "theme": theme}
    for figure in (
        plot_dynamics(trajectory, 7, **options),
        plot_layer_values(trajectory, "W2", **options),
        plot_twins(trajectory, **options),
        plot_block(np.eye(8), 4, title="t = 50", **options),
        plot_scatter(0.2 ** np.arange(5), 0.2, **options),
    ):
        assert len(figure._repr_png_()[0]) > 2_000
        assert figure.description and "{" not in figure.description
        assert figure.get_facecolor() == pytest.approx(picture(theme=theme).get_facecolor())
        assert figure.language == language


def test_a_panel_for_each_layer_over_both_errors_and_the_product(trajectory):
    figure = plot_dynamics(trajectory, language="en")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["W1", "W2", "W3", "Relative error of the target", "Singular values of the product"]
    assert figure.get_suptitle() == figure.description
    assert figure.description == ("3 layers of width 8 learn a target of rank 2: start orthogonal, gradient descent")
    assert not any(marks(ax) for ax in figure.axes)


@pytest.mark.parametrize("at", [0, 1, 30, 50])
def test_the_step_that_is_looked_at_is_marked_everywhere(trajectory, at):
    assert [marks(ax) for ax in plot_dynamics(trajectory, at).axes] == [[trajectory.steps[at]]] * 5


@pytest.mark.parametrize("layer", ["W1", "W3"])
def test_every_singular_value_of_a_layer_and_the_recursion(trajectory, layer):
    figure = plot_layer_values(trajectory, layer, language="en")
    (ax,), theme = figure.axes, THEMES["light"]
    values = trajectory["values"][:, trajectory.layers.index(layer)]
    np.testing.assert_array_equal(by_colour(ax, theme.after), values[:, :2])
    np.testing.assert_array_equal(by_colour(ax, theme.before), values[:, 2:])
    (law,) = [line for line in curves(ax) if line.get_color() == theme.accent]
    np.testing.assert_array_equal(law.get_ydata(), trajectory["resting"][:, trajectory.layers.index(layer)])
    assert law.get_linestyle() == "--" and len(curves(ax)) == 9
    assert figure.description == f"Singular values of {layer} over the steps"
    assert ax.get_ylim()[0] == 0 and ax.get_xlim() == (0, 50)


def test_no_recursion_is_drawn_where_the_law_does_not_hold():
    adam = simulated(rule="adam")
    assert len(curves(plot_layer_values(adam, "W1").axes[0])) == 8
    assert len(curves(plot_dynamics(adam).axes[-1])) == 8


def test_both_errors_are_drawn_and_named(trajectory):
    (ax,) = plot_twins(trajectory, language="en").axes
    wide, twin = curves(ax)
    np.testing.assert_array_equal(wide.get_xydata(), np.stack([trajectory.steps, trajectory["recovery"]], axis=1))
    np.testing.assert_array_equal(twin.get_xydata(), np.stack([trajectory.steps, trajectory["twin_recovery"]], axis=1))
    assert ax.get_yscale() == "log" and wide.get_linestyle() == "-" != twin.get_linestyle()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["wide network", "twin"]


def test_without_a_twin_there_is_one_error():
    alone = simulated(rank=4)
    (ax,) = plot_twins(alone, language="en").axes
    assert len(curves(ax)) == 1 and [text.get_text() for text in ax.get_legend().get_texts()] == ["wide network"]
    plot_twins(alone, 3)._repr_png_()


def test_modes_of_the_product_and_what_theory_foretells():
    aligned = simulated(start="aligned", scale=0.3)
    ax, theme = plot_dynamics(aligned).axes[-1], THEMES["light"]
    np.testing.assert_array_equal(by_colour(ax, theme.after), aligned["modes"][:, :2])
    np.testing.assert_array_equal(by_colour(ax, theme.before), aligned["modes"][:, 2:])
    np.testing.assert_array_equal(by_colour(ax, theme.accent), aligned["modes_foretold"])


@pytest.mark.parametrize(("depth", "places"), [(1, [(1, 1)]), (4, [(1, 4)] * 4), (5, [(2, 3)] * 5), (9, [(3, 3)] * 9)])
def test_many_layers_fill_several_rows(depth, places):
    figure = plot_dynamics(simulated(depth=depth, steps=2))
    grids = [ax.get_gridspec().get_geometry() for ax in figure.axes]
    assert grids == [*places, (1, 2), (1, 2)]


def test_what_diverged_is_drawn_as_far_as_it_went():
    lost = simulated(learning_rate=0.5)
    assert lost.facts["diverged_at"] is not None and len(lost) < 50
    figure = plot_dynamics(lost, len(lost) - 1)
    assert curves(figure.axes[0])[0].get_xdata()[-1] == lost.steps[-1]


def test_a_start_alone_is_drawn_too():
    only = simulated(learning_rate=1e6)
    assert len(only) == 1
    plot_dynamics(only)._repr_png_()


def test_a_block_is_drawn_with_its_border_and_the_same_colours_below_and_above_zero(rng):
    block = rng.standard_normal((8, 8))
    figure = plot_block(block, 4, title="W1", language="en")
    (ax,) = figure.axes
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), block)
    high = np.abs(block).max()
    assert image.get_clim() == (-high, high) and ax.get_title(loc="left") == "W1"
    assert set(ax.lines[0].get_ydata()) == {3.5} == set(ax.lines[1].get_xdata())
    assert figure.description.startswith("A weight in fixed bases: a block of 4 moving directions")
    paper = [channel / 255 for channel in bytes.fromhex(THEMES["light"].paper[1:])]
    assert image.cmap(0.5)[:3] == pytest.approx(paper, abs=0.01)
    plot_block(np.zeros((3, 3)), 2)._repr_png_()


def test_scatter_of_every_layer_beside_a_constant_factor():
    scatter = np.array([10.0, 2.1, 0.38, 0.08])
    (ax,) = plot_scatter(scatter, 0.2, language="en").axes
    law, found = ax.lines
    np.testing.assert_array_equal(found.get_xydata(), np.stack([np.arange(4), scatter], axis=1))
    np.testing.assert_allclose(law.get_ydata(), [10, 2, 0.4, 0.08])
    assert ax.get_yscale() == "log" and len(ax.get_legend().get_texts()) == 2


def test_panels_are_drawn_on_given_axes(trajectory):
    figure = picture(12, 3)
    axes = figure.subplots(1, 4)
    assert plot_layer_values(trajectory, "W1", 3, ax=axes[0]) is figure
    assert plot_twins(trajectory, 3, ax=axes[1]) is figure
    assert plot_block(np.eye(3), 2, ax=axes[2]) is figure
    assert plot_scatter(np.ones(3), 1.0, ax=axes[3]) is figure
    assert all(ax.lines for ax in axes) and marks(axes[0]) == marks(axes[1]) == [3]


def test_an_unknown_layer_gets_one_sentence(trajectory):
    with pytest.raises(InputError) as refusal:
        plot_layer_values(trajectory, "W4")
    assert str(refusal.value) == "`layer` must be one of 'W1', 'W2', 'W3'; got 'W4'."
