"""Heat maps write the numbers that they colour."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from lowrank_kit.checks import InputError
from lowrank_kit.plots import THEMES, plot_grid, plot_grids
from lowrank_kit.records import Grid

VALUES = np.array([[-0.894, -0.0995, 0.0], [np.nan, 0.064, -0.004]])


@pytest.fixture(params=["change", "advantage"])
def grid(request):
    notes = np.array([["1", "2", "4"], ["", "1", "2"]], dtype=object)
    return Grid(request.param, "layer", ("a", "b"), "fraction", ("1/8", "1/4", "1/2"), VALUES, 1000, notes)


@pytest.fixture
def classes():
    return Grid("accuracy", "class", ("0", "9"), "cut", ("a\n1", "b\n2"), np.array([[1.0, 0.5], [0.0, 0.994]]), 100)


@pytest.fixture(params=["learned", "kept"])
def trained(request):
    values = np.array([[1.0, 0.5], [0.0, 0.0004], [0.002, 0.06]])
    notes = np.array([["", ""], ["2%", "3%"], ["4%", "5%"]], dtype=object) if request.param == "learned" else None
    return Grid(request.param, "tolerance", ("dense", "0.1", "0.3"), "rate", ("0.1", "0.5"), values, 500, notes)


def written(figure):
    return [t.get_text() for t in figure.axes[0].texts if t.get_text()]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_all_are_drawn_without_a_warning(grid, classes, language, theme):
    for given in (grid, classes):
        figure = plot_grid(given, language=language, theme=theme)
        assert len(figure._repr_png_()[0]) > 5_000
        assert repr(figure) == f"Picture({figure.description})"


def test_points_are_written_with_their_ranks(grid):
    assert written(plot_grid(grid)) == ["−89", "1", "−10", "2", "0", "4", "+6.4", "1", "−0.4", "2"]


def test_accuracies_are_written_in_percent(classes):
    assert written(plot_grid(classes)) == ["100", "50", "0", "99"]


def test_a_cell_without_a_value_has_no_colour(grid):
    colours = plot_grid(grid).axes[0].collections[0].get_array()
    assert np.ma.getmaskarray(colours).ravel().tolist() == [False] * 3 + [True] + [False] * 2


def test_all_lost_and_much_gained_are_at_the_ends(grid, classes):
    strength = plot_grid(grid).axes[0].collections[0].get_array()
    assert strength[0, 0] == -1 and strength[0, 2] == 0
    assert np.allclose(plot_grid(classes).axes[0].collections[0].get_array(), [[0, -0.5], [-1, -0.006]])


@pytest.mark.parametrize("theme", THEMES)
def test_numbers_stand_out_from_their_cells(grid, theme):
    """By at least 3 to 1, what the Web Content Accessibility Guidelines ask of large text."""
    figure = plot_grid(grid, theme=theme)
    cells = figure.axes[0].collections[0]
    figure._repr_png_()
    colours = cells.get_facecolors().reshape(*VALUES.shape, 4)
    for text in figure.axes[0].texts:
        x, y = text.get_position()
        lights = sorted(map(luminance, (text.get_color(), colours[int(y), int(x)])))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) > 3


def luminance(colour):
    channels = np.array(to_rgb(colour))
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4) @ [
        0.2126,
        0.7152,
        0.0722,
    ]


def test_axes_and_trials_are_named(grid, classes):
    figure = plot_grid(classes, language="en")
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("layer that is cut, and its ranks", "class")
    assert "n = 100 each" in ax.get_title(loc="left")
    assert "n = 1,000" in plot_grid(grid, language="en").axes[0].get_title(loc="left")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "9"]


def test_what_was_learned_and_kept_is_written_in_percent(trained):
    assert (
        written(plot_grid(trained))
        == {
            "learned": ["100", "50", "0", "2%", "0", "3%", "0", "4%", "6", "5%"],
            "kept": ["100", "50", "0", "0", "<1", "6"],
        }[trained.measure]
    )


def test_nothing_kept_is_grey_and_nothing_learned_is_not(trained):
    strength = plot_grid(trained).axes[0].collections[0].get_array()
    assert (strength[1, 0] == 0) == (trained.measure == "kept")
    assert (strength[0, 0] == 0) == (trained.measure == "learned")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_grids_side_by_side_are_drawn_without_a_warning(trained, language, theme):
    figure = plot_grids({"1/16": trained, "1/2": trained}, language=language, theme=theme)
    assert len(figure._repr_png_()[0]) > 5_000
    left, right = figure.axes
    assert "1/16" in left.get_title(loc="left") and "1/2" in right.get_title(loc="left")
    assert left.get_ylabel() and not right.get_ylabel()
    assert written(figure) and "dense" in figure.description


def test_grids_side_by_side_have_the_same_rows(trained, classes):
    for given in ({}, {"1/2": trained, "1/4": classes}):
        with pytest.raises(InputError, match="same measure and rows"):
            plot_grids(given)


def test_the_dense_network_is_named_in_the_pictures_language(trained):
    name = plot_grid(trained, language="ja").axes[0].get_yticklabels()[0].get_text()
    assert (name == "dense") == (trained.measure == "kept")
