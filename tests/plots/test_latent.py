import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.plots import THEMES, plot_latent
from lowrank_kit.records import LatentView


@pytest.fixture
def views():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 3], 15)
    planes = [rng.standard_normal((30, 2)) + labels[:, None] for _ in range(3)]
    return {name: LatentView(name, 4, labels, *planes, (0.8, 0.1, 0.6), (0.9, 0.5), 7.25) for name in ("fc1", "head")}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_is_drawn_without_a_warning(views, language, theme):
    figure = plot_latent(views, 3, language=language, theme=theme)
    assert len(figure._repr_png_()[0]) > 5_000
    assert repr(figure) == f"Picture({figure.description})"


def test_a_column_for_each_layer_and_a_row_for_each_plane(views):
    figure = plot_latent(views, language="en")
    assert len(figure.axes) == 6
    for ax, plane in zip(figure.axes[::2], ("kept", "cut", "principal"), strict=True):
        assert np.allclose(ax.collections[0].get_offsets(), getattr(views["fc1"], plane))
    assert [ax.get_title(loc="left")[:3] for ax in figure.axes] == ["80%", "80%", "10%", "10%", "60%", "60%"]


def test_each_class_is_written_at_its_middle(views):
    texts = [t for t in plot_latent(views).axes[0].texts if t.get_text() in ("0", "3")]
    view = views["fc1"]
    for text, c in zip(texts, (0, 3), strict=True):
        assert text.get_position() == pytest.approx(tuple(view.kept[view.labels == c].mean(axis=0)))


def test_the_picked_example_is_marked_in_every_panel(views):
    for ax, plane in zip(plot_latent(views, 7).axes[::2], ("kept", "cut", "principal"), strict=True):
        (star,) = ax.lines
        assert np.allclose(star.get_xydata()[0], getattr(views["fc1"], plane)[7])
    assert not plot_latent(views).axes[0].lines


def test_needs_a_layer():
    with pytest.raises(InputError, match="at least one layer"):
        plot_latent({})
