import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.plots import THEMES, plot_memory

PAIRS, ERRORS, EXPECTED = [2, 4, 8], [0.0, 0.01, 0.7], [0.0, 0.0, 0.71]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_is_drawn_without_a_warning(language, theme):
    figure = plot_memory(PAIRS, ERRORS, EXPECTED, 4, language=language, theme=theme)
    assert len(figure._repr_png_()[0]) > 5_000
    assert repr(figure) == f"Picture({figure.description})"


def test_dots_are_measured_and_the_line_is_expected():
    figure = plot_memory(PAIRS, ERRORS, EXPECTED, 4, language="en")
    (line,) = figure.axes[0].lines
    assert np.allclose(line.get_xydata(), np.column_stack([PAIRS, EXPECTED]))
    assert np.allclose(figure.axes[0].collections[0].get_offsets(), np.column_stack([PAIRS, ERRORS]))
    assert [t.get_text() for t in figure.axes[0].texts] == ["capacity 4"]


@pytest.mark.parametrize("errors", [[], [0.1], [0, 0, 0, 0]])
def test_there_is_an_error_for_every_number_of_pairs(errors):
    with pytest.raises(InputError, match="equally long"):
        plot_memory(PAIRS, errors, EXPECTED, 4)
