"""The picture of a network and its deep linear twin in training."""

import numpy as np
import pytest

from lowrank_kit.plots import THEMES, plot_watch
from lowrank_kit.records import Trajectory

STEPS = np.array([0, 1, 20, 40])


@pytest.fixture
def trajectory(rng):
    """Of two layers, with 6 and 3 singular values, and the same two of the twin."""
    values = rng.random((4, 4, 6))
    values[:, [1, 3], 3:] = np.nan
    accuracy = np.array([[0.1, 0.1], [0.25, 0.2], [0.75, 0.5], [0.9123, 0.6]])
    resting = np.arange(16).reshape(4, 4)
    return Trajectory("net", STEPS, {"values": values, "accuracy": accuracy, "resting": resting}, tuple("abcd"))


def curves(ax):
    return [line for line in ax.lines if len(set(line.get_xdata())) > 1]


@pytest.mark.parametrize(("language", "theme"), [("en", "dark"), ("ja", "light")])
def test_is_drawn_without_a_warning(trajectory, language, theme):
    figure = plot_watch(trajectory, 2, language=language, theme=theme)
    assert len(figure._repr_png_()[0]) > 5_000
    assert repr(figure) == f"Picture({figure.description})" and figure.language == language
    assert all(line.get_color() in (THEMES[theme].after, THEMES[theme].ink) for ax in figure.axes for line in ax.lines)


def test_the_network_stands_above_its_twin_with_every_singular_value(trajectory):
    figure = plot_watch(trajectory, language="en")
    assert len(figure.axes) == 4 and figure.axes[0].get_gridspec().get_geometry() == (2, 2)
    for index, ax in enumerate(figure.axes):
        np.testing.assert_array_equal(
            np.stack([line.get_ydata() for line in curves(ax)], axis=1), trajectory["values"][:, index]
        )
        assert all((line.get_xdata() == STEPS).all() for line in curves(ax))
        assert ax.get_xlim() == (0, 40) and ax.get_ylim()[0] == 0


@pytest.mark.parametrize(("at", "shown"), [(None, 3), (0, 0), (2, 2)])
def test_numbers_are_those_of_the_step_that_is_marked(trajectory, at, shown):
    figure = plot_watch(trajectory, at, language="en")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [f"{name}: {4 * shown + index} at rest" for index, name in enumerate("abcd")]
    network, twin = trajectory["accuracy"][shown]
    assert (
        figure.description
        == figure.get_suptitle()
        == (f"net and its deep linear twin at step {STEPS[shown]}: validation accuracy {network:.1%} and {twin:.1%}")
    )
    for ax in figure.axes:
        assert [line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1] == [STEPS[shown]]


def test_a_start_alone_and_what_diverged_are_drawn_too(trajectory):
    start = {name: values[:1] for name, values in trajectory.arrays.items()}
    plot_watch(Trajectory("net", STEPS[:1], start, trajectory.layers))._repr_png_()
    lost = {**trajectory.arrays, "values": trajectory["values"] * 10.0 ** np.array([0, 5, 20, 38])[:, None, None]}
    plot_watch(Trajectory("net", STEPS, lost, trajectory.layers))._repr_png_()
