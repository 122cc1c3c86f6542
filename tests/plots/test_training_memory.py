"""The bars of memory are as long as what is held."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.plots import THEMES, plot_training_memory
from lowrank_kit.records import TrainingMemory

MIB = 2**20


@pytest.fixture
def held():
    return {
        "dense": TrainingMemory(4 * MIB, 3 * MIB, 2 * MIB, 20 * MIB),
        "adaptive_first": TrainingMemory(6 * MIB, MIB, MIB, 25 * MIB),
        "other": TrainingMemory(MIB, 0, 0, MIB // 2),
    }


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_is_drawn_without_a_warning(held, language, theme):
    figure = plot_training_memory(held, {"dense": 4 * MIB}, language=language, theme=theme)
    assert len(figure._repr_png_()[0]) > 5_000
    assert "adaptive_first" in figure.description


def test_bars_are_stacked_and_told(held):
    (ax,) = plot_training_memory(held, {"dense": 4 * MIB, "compressed": MIB // 20}, language="en").axes
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    assert np.allclose(ends[:12], [4, 6, 1, 7, 7, 1, 9, 8, 1, 29, 33, 1.5])
    assert np.allclose(ends[12:], [4, 0.05], atol=0.01)
    assert [t.get_text() for t in ax.texts] == ["29.0", "33.0", "1.5", "4.0", "0.05"]
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == [
        "training, dense",
        "training, adaptive: first cycle",
        "other",
        "in use, dense",
        "in use, compressed",
    ]


@pytest.mark.parametrize(("training", "in_use"), [({}, {"dense": 1}), ({"dense": TrainingMemory(1, 1, 1, 1)}, {})])
def test_needs_both(training, in_use):
    with pytest.raises(InputError, match="at least one network"):
        plot_training_memory(training, in_use)
