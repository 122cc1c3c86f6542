"""Pictures show themselves, carry their theme, and change nothing outside."""

import subprocess
import sys
import threading

import matplotlib as mpl
import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.plots import THEMES, picture, plot_truncation
from lowrank_kit.records import Spectrum


@pytest.fixture
def spectrum():
    return Spectrum(np.linspace(3, 0.1, 24), (24, 40), "fc1")


def test_shows_itself_as_png_at_half_its_drawn_size(spectrum):
    png, size = plot_truncation(spectrum)._repr_png_()
    assert png.startswith(b"\x89PNG")
    drawn = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
    assert np.allclose(drawn, (2 * size["width"], 2 * size["height"]), atol=1)
    assert size["alt"] == "error of fc1 against rank"


def test_the_same_picture_gives_the_same_bytes(spectrum):
    assert plot_truncation(spectrum)._repr_png_()[0] == plot_truncation(spectrum)._repr_png_()[0]


def test_text_form_is_stable(spectrum):
    assert repr(plot_truncation(spectrum, language="en")) == "Picture(error of fc1 against rank)"
    assert repr(plot_truncation(spectrum, language="ja")) == "Picture(fc1の誤差とランク)"


def test_language_comes_from_the_environment(spectrum, monkeypatch):
    monkeypatch.setenv("LOWRANK_KIT_LANG", "ja")
    assert plot_truncation(spectrum).axes[0].get_xlabel() == "ランク"


@pytest.mark.parametrize("theme", THEMES)
def test_theme_is_in_the_corner(spectrum, theme):
    from matplotlib.image import imread

    figure = plot_truncation(spectrum, theme=theme)
    with open_png(figure) as file:
        corner = imread(file)[0, 0, :3]
    assert mpl.colors.to_hex(corner) == THEMES[theme].paper


def open_png(figure):
    from io import BytesIO

    return BytesIO(figure._repr_png_()[0])


def test_drawing_changes_no_setting(spectrum):
    before = dict(mpl.rcParams)
    plot_truncation(spectrum, language="ja", theme="dark")._repr_png_()
    assert dict(mpl.rcParams) == before


def test_importing_changes_no_setting_and_starts_no_pyplot_figure():
    code = (
        "import matplotlib as mpl; before = dict(mpl.rcParams); import lowrank_kit.plots as p;"
        "p.picture(language='ja')._repr_png_(); assert dict(mpl.rcParams) == before;"
        "import matplotlib.pyplot as plt; assert plt.get_fignums() == []"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_draws_on_another_thread(spectrum):
    drawn = []
    thread = threading.Thread(target=lambda: drawn.append(plot_truncation(spectrum)._repr_png_()[0]))
    thread.start()
    thread.join()
    assert drawn == [plot_truncation(spectrum)._repr_png_()[0]]


@pytest.mark.parametrize("wrong", [{"theme": "sepia"}, {"language": "fr"}])
def test_unknown_names_are_refused(wrong):
    with pytest.raises(InputError, match="must be one of"):
        picture(**wrong)


def test_foreign_axes_are_refused(spectrum):
    from matplotlib.figure import Figure

    with pytest.raises(InputError, match="picture of the kit"):
        plot_truncation(spectrum, ax=Figure().subplots())


def test_draws_on_given_axes(spectrum):
    figure = picture()
    left, right = figure.subplots(1, 2)
    assert plot_truncation(spectrum, ax=left) is figure
    assert left.lines and not right.lines
