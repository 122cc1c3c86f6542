"""The pictures that stand for boards where there is no kernel."""

import numpy as np
import pytest

from lowrank_kit.files import read_arrays, shipped
from lowrank_kit.methods.outlook import network_outlook
from lowrank_kit.plots import THEMES
from lowrank_kit.plots.board import plot_board
from lowrank_kit.plots.figure import DRAWN_DPI
from lowrank_kit.plots.latency_board import plot_latency_board
from lowrank_kit.plots.tucker_board import LEVELS, plot_tucker_board
from lowrank_kit.records import Measurement, RankTables, TuckerTables
from lowrank_kit.studies.catalogue import CATALOGUE
from tests.known_times import CPU, GPU, known_table

LABELS = np.repeat([0, 1, 2], 20)
DENSE, CUT = (Measurement(label, n, 4 * n, 10 * n, LABELS, LABELS) for label, n in (("dense", 400), ("cut", 100)))


@pytest.fixture(scope="module")
def pairs():
    return TuckerTables.from_arrays(*read_arrays(shipped("data", "mnist-cnn", "tucker.safetensors")))


@pytest.fixture(scope="module")
def ranks():
    return RankTables.from_arrays(*read_arrays(shipped("data", "digits-mlp", "tables.safetensors")))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_boards_are_drawn_without_a_warning(ranks, pairs, language, theme):
    """A character that no font has, or a layout that does not fit, would warn, and warnings are errors."""
    look = {"language": language, "theme": theme}
    one = plot_board(ranks, {"fc1": 9, "fc2": 128, "head": 10}, CUT, DENSE, **look)
    two = plot_tucker_board(pairs, {"conv1": (32, 1), "conv2": (20, 12), "conv3": (1, 1)}, CUT, DENSE, **look)
    assert one.description == "digits-mlp: fc1 9, fc2 128, head 10"
    assert two.description == "mnist-cnn: conv1 32 x 1, conv2 20 x 12, conv3 1 x 1"
    for figure in (one, two):
        assert len(figure._repr_png_()[0]) > 20_000
        assert "25.0%" in figure.get_suptitle()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_numbers_of_a_board_fit_on_its_picture(ranks, pairs, language):
    for figure in (
        plot_board(ranks, {"fc1": 9, "fc2": 128, "head": 10}, CUT, DENSE, language=language),
        plot_tucker_board(pairs, {t.name: (1, 1) for t in pairs.layers}, CUT, DENSE, language=language),
    ):
        figure._repr_png_()
        assert figure._suptitle.get_window_extent().x1 / DRAWN_DPI <= figure.get_figwidth()


def test_a_panel_shows_the_errors_the_pair_and_what_it_costs(pairs):
    figure = plot_tucker_board(pairs, {"conv1": (32, 1), "conv2": (20, 12), "conv3": (1, 1)}, CUT, DENSE, language="en")
    whole, conv2, _ = figure.axes
    assert whole.get_title(loc="left") == "conv1  dense"
    error = pairs.layers[1].error_at((20, 12))
    assert conv2.get_title(loc="left") == f"conv2  20 × 12  error {error:.0%}"
    (core,) = [patch for patch in conv2.patches if patch.get_width() == 12]
    assert core.get_height() == 20
    for image, level in zip(conv2.images, LEVELS, strict=True):
        within = ~np.isnan(image.get_array().filled(np.nan))
        np.testing.assert_array_equal(within, pairs.layers[1].errors <= level)
    assert [text.get_text() for text in conv2.texts] == ["10%", "30%", "50%", "70%", "90%"]


@pytest.fixture(scope="module")
def outlooks():
    layers = [layer for layer in CATALOGUE if layer.network == "resnet50"]
    return {(d.name, m): network_outlook(layers, known_table(d), m) for d in (CPU, GPU) for m in ("svd", "tucker")}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_latency_board_is_drawn_without_a_warning(outlooks, language, theme):
    for (device, method), outlook in outlooks.items():
        figure = plot_latency_board(outlook, "layer3.1.conv2", 0.25, language=language, theme=theme)
        rank = "64x64" if method == "tucker" else "64"
        assert figure.description.startswith("resnet50") and figure.description.endswith(rank)
        assert figure.get_suptitle().startswith(figure.description)
        assert device in figure.get_suptitle() and "2026-01-02" in figure.get_suptitle()
        assert len(figure._repr_png_()[0]) > 20_000
        assert figure._suptitle.get_window_extent().x1 / DRAWN_DPI <= figure.get_figwidth()


def test_a_latency_board_shows_the_layer_under_the_roof_and_the_network(outlooks):
    outlook = outlooks["a processor", "svd"]
    stairs, roof, below = plot_latency_board(outlook, "layer3.1.conv2", 0.25, language="en").axes
    found = outlook["layer3.1.conv2"]
    assert stairs.get_title(loc="left") == "layer3.1.conv2, svd: time of a pass"
    assert roof.get_title(loc="left") == "a processor"
    assert below.get_title(loc="left").startswith("resnet50: ")
    for ax, place in ((stairs, (64, 1e3 * found.foretold_s[63])), (roof, None)):
        rings = [a for a in ax.get_lines() if a.get_markersize() == 7.5]
        assert len(rings) == 1
        if place:
            assert (rings[0].get_xdata()[0], rings[0].get_ydata()[0]) == pytest.approx(place)
