"""What the plots show is what the records hold."""

import threading

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.plots import (
    THEMES,
    picture,
    plot_classes,
    plot_energy_and_accuracy,
    plot_predictions,
    plot_spectra,
    plot_truncation,
)
from lowrank_kit.records import Measurement, Spectrum

LABELS = np.repeat([0, 1, 2], 20)


def measured(*wrong, label="dense"):
    """Twenty examples of each of three classes, of which so many are wrong."""
    predictions = LABELS.copy()
    for c, n in enumerate(wrong):
        predictions[20 * c : 20 * c + n] = (c + 1) % 3
    return Measurement(label, 100, 400, 1000, LABELS, predictions)


@pytest.fixture
def before():
    return {"fc1": Spectrum(np.linspace(1, 0.5, 8), (8, 12), "fc1"), "head": Spectrum(np.ones(3), (3, 8), "head")}


@pytest.fixture
def after():
    values = np.array([4, 3, 1, 0.9, 0.8, 0.7, 0.6, 0.5])
    return {"fc1": Spectrum(values, (8, 12), "fc1"), "head": Spectrum(np.array([2, 1.5, 0.5]), (3, 8), "head")}


def every_picture(before, after, **look):
    edges = {"fc1": (0.4, 1.2), "head": (0.4, 1.2)}
    return {
        "spectra": plot_spectra(before, after, edges=edges, **look),
        "bare spectra": plot_spectra(before, after, **look),
        "truncation": plot_truncation(after["fc1"], [1, 2], [0.5, 0.3], **look),
        "classes": plot_classes(measured(0, 0, 0), measured(0, 15, 1, label="cut"), **look),
        "energy": plot_energy_and_accuracy(after["fc1"], {1: measured(9, 9, 9), 4: measured()}, **look),
        "predictions": plot_predictions(np.array([0.2, 0.9]), np.array([0.3, 0.9]), **look),
    }


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_all_are_drawn_without_a_warning(before, after, language, theme):
    """A character that no font has, or a layout that does not fit, would warn, and warnings are errors."""
    for name, figure in every_picture(before, after, language=language, theme=theme).items():
        png, size = figure._repr_png_()
        assert len(png) > 5_000, name
        assert figure.description in repr(figure) == f"Picture({size['alt']})"


def test_pictures_of_two_threads_wait_for_each_other():
    """Matplotlib's settings are one for all threads, and boards draw in the background."""
    one, other, entered = picture(), picture(), threading.Event()

    def enter():
        with other.styled():
            entered.set()

    with one.styled():
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(10)
    thread.join()


class TestSpectra:
    def test_lines_are_the_singular_values(self, before, after):
        figure = plot_spectra(before, after)
        for ax, name in zip(figure.axes, after, strict=True):
            grey, blue = ax.lines
            assert np.allclose(grey.get_ydata(), before[name].values, rtol=1e-12)
            assert np.allclose(blue.get_ydata(), after[name].values, rtol=1e-12)
            assert blue.get_xdata()[0] == 1

    def test_counts_what_stands_above_the_band(self, before, after):
        figure = plot_spectra(before, after, edges={"fc1": (0.4, 1.2)}, language="en")
        assert [t.get_text() for t in figure.axes[0].texts] == ["2 of 8 above"]
        assert not figure.axes[1].texts

    def test_a_value_on_the_edge_is_not_above_it(self, before, after):
        figure = plot_spectra(before, after, edges={"fc1": (0.4, 3.0)}, language="en")
        assert [t.get_text() for t in figure.axes[0].texts] == ["1 of 8 above"]

    def test_layers_are_chosen_and_ordered(self, before, after):
        figure = plot_spectra(before, after, layers=["head", "fc1"])
        assert [ax.get_title(loc="left").split()[0] for ax in figure.axes] == ["head", "fc1"]

    def test_many_layers_wrap(self, before, after):
        names = [f"l{i}" for i in range(7)]
        figure = plot_spectra(dict.fromkeys(names, before["fc1"]), dict.fromkeys(names, after["fc1"]))
        assert [ax.axison for ax in figure.axes] == 7 * [True] + 3 * [False]
        figure._repr_png_()

    def test_zero_singular_values_do_not_break_the_axis(self, before):
        dead = {"fc1": Spectrum(np.array([1.0, 0.0]), (2, 3), "fc1")}
        plot_spectra(before, dead, layers=["fc1"])._repr_png_()

    @pytest.mark.parametrize("layers", [["fc2"], []])
    def test_wrong_layers_are_refused(self, before, after, layers):
        with pytest.raises(InputError, match="`layers` must"):
            plot_spectra(before, after, layers=layers)

    def test_layers_must_have_been_seen_before(self, before, after):
        with pytest.raises(InputError, match="one of 'head'"):
            plot_spectra({"head": before["head"]}, after)


class TestTruncation:
    def test_line_is_the_tail_of_the_spectrum(self, after):
        line = plot_truncation(after["fc1"]).axes[0].lines[0]
        assert line.get_xdata().tolist() == list(range(9))
        assert np.allclose(line.get_ydata(), [1, *(after["fc1"].error(r) for r in range(1, 9))], atol=1e-7)

    def test_dots_are_what_was_handed_in(self, after):
        dots = plot_truncation(after["fc1"], [1, 5], [0.4, 0.1]).axes[0].collections[0]
        assert dots.get_offsets().tolist() == [[1, 0.4], [5, 0.1]]

    def test_break_even_is_named(self, after):
        texts = [t.get_text() for t in plot_truncation(after["fc1"], language="en").axes[0].texts]
        assert texts == ["break-even 4"]


class TestClasses:
    def test_only_classes_that_moved_are_named(self):
        figure = plot_classes(measured(0, 0, 0), measured(0, 15, 0, label="cut"))
        assert [t.get_text() for t in figure.axes[0].texts] == ["25%"]

    def test_a_gain_is_drawn_too(self):
        figure = plot_classes(measured(0, 15, 0), measured(0, 0, 0, label="tuned"))
        assert [t.get_text() for t in figure.axes[0].texts] == ["100%"]


class TestEnergyAndAccuracy:
    def test_shows_energy_and_measurements(self, after):
        figure = plot_energy_and_accuracy(after["fc1"], {4: measured(), 1: measured(9, 9, 9)})
        energy, accuracy = figure.axes[0].lines
        assert np.array_equal(energy.get_ydata(), after["fc1"].energy)
        assert accuracy.get_xdata().tolist() == [1, 4]
        assert np.allclose(accuracy.get_ydata(), [33 / 60, 1])

    def test_needs_a_measurement(self, after):
        with pytest.raises(InputError, match="at least one rank"):
            plot_energy_and_accuracy(after["fc1"], {})


@pytest.mark.parametrize("shapes", [((2,), (3,)), ((0,), (0,)), ((2, 2), (2, 2))])
def test_predictions_come_in_pairs(shapes):
    with pytest.raises(InputError, match="equally long"):
        plot_predictions(*map(np.zeros, shapes))
