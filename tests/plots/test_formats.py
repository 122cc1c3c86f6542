"""The picture of formats shows errors and accuracies as they are."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.plots import THEMES, plot_formats
from lowrank_kit.records import FormatFit

TENSOR = np.zeros((8, 5, 5, 5))


def fit(name, n_params, error, right=7):
    return FormatFit(name, (2,), n_params, error, TENSOR, np.arange(10) < right)


@pytest.fixture
def fits():
    names = ("svd", "spatial", "tucker", "cp", "tensor train")
    return [fit(name, n, 60 / n, right) for name in names for n, right in ((200, 9), (100, 7))]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_is_drawn_without_a_warning(fits, language, theme):
    figure = plot_formats(fits, language=language, theme=theme)
    assert len(figure._repr_png_()[0]) > 5_000
    assert "tensor train" in figure.description and "n = 10" in figure.description


def test_lines_go_from_small_to_large(fits):
    left, right = plot_formats(fits).axes
    assert len(left.lines) == len(right.lines) == 5
    for line in left.lines:
        assert np.allclose(line.get_xdata(), [0.1, 0.2])
        assert np.allclose(line.get_ydata(), [0.6, 0.3])
    for line in right.lines:
        assert np.allclose(line.get_ydata(), [0.7, 0.9])


def test_every_format_has_its_own_marker_and_colour(fits):
    lines = plot_formats(fits).axes[0].lines
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 5


@pytest.mark.parametrize("fits", [[], [FormatFit("cp", (1,), 10, 0.5, TENSOR)]])
def test_needs_formats_that_were_tried(fits):
    with pytest.raises(InputError, match="tried on examples"):
        plot_formats(fits)
