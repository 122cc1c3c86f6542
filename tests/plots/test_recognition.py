import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.plots import THEMES, plot_recognition
from lowrank_kit.records import Recognition


def recognition(shift):
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(shift, 1, 200), rng.normal(0, 1, 40)
    return Recognition("net", "max softmax", known, unknown, np.arange(200) % 10 > 0)


@pytest.fixture
def by_rank():
    return {"fc1": {8: recognition(3), 2: recognition(1)}, "head": {4: recognition(2)}}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_is_drawn_without_a_warning(by_rank, language, theme):
    figure = plot_recognition(by_rank, recognition(4), {"fc1": 2}, language=language, theme=theme)
    assert len(figure._repr_png_()[0]) > 5_000
    assert repr(figure) == f"Picture({figure.description})"


def test_lines_are_the_figures_rank_by_rank(by_rank):
    ax = plot_recognition(by_rank, recognition(4), language="en").axes[0]
    lines = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    ordered = [by_rank["fc1"][rank] for rank in (2, 8)]
    for label, figure in (("accuracy on the known", "accuracy"), ("AUROC, known against unknown", "auroc"),
                          ("unknown rejected, 95% of known kept", "rejected")):  # fmt: skip
        assert lines[label].get_xdata().tolist() == [2, 8]
        assert np.allclose(lines[label].get_ydata(), [getattr(r, figure) for r in ordered])


def test_intervals_are_drawn(by_rank):
    ax = plot_recognition(by_rank, recognition(4)).axes[0]
    drawn = [segment[:, 1] for segment in ax.collections[1].get_segments()]
    assert np.allclose(drawn, [by_rank["fc1"][rank].interval("rejected") for rank in (2, 8)])


def test_a_marked_rank_is_written(by_rank):
    figure = plot_recognition(by_rank, recognition(4), {"head": 4})
    assert [[t.get_text() for t in ax.texts] for ax in figure.axes] == [[], ["4"]]


def test_needs_a_layer():
    with pytest.raises(InputError, match="at least one layer"):
        plot_recognition({}, recognition(4))
