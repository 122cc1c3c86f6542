import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.plots import (
    THEMES,
    picture,
    plot_accuracy,
    plot_loss,
    plot_mode_spectra,
    plot_ranks,
    plot_trajectory,
)
from lowrank_kit.records import Trajectory

NAN = np.nan
STEPS = np.array([0, 10, 20, 30])
RANKS = np.array(
    [
        [[8, 4, NAN, NAN], [6, 6, NAN, NAN], [4, 4, 3, 2]],
        [[6, 4, NAN, NAN], [5, 5, NAN, NAN], [4, 3, 3, 2]],
        [[5, 3, NAN, NAN], [3, 3, NAN, NAN], [4, 3, 2, 2]],
        [[5, 3, NAN, NAN], [2, 2, NAN, NAN], [3, 3, 2, 2]],
    ]
)
ACCURACY = np.array([0.1, NAN, 0.9, 0.95])


@pytest.fixture
def trajectory():
    """A convolution in two modes, a matrix, and a convolution in four modes."""
    values = np.full((4, 3, 4, 9), NAN)
    for t, layer, mode in np.ndindex(4, 3, 4):
        n = RANKS[t, layer, mode]
        if not np.isnan(n):
            values[t, layer, mode, : int(n) + 1] = 2.0 ** -np.arange(n + 1)
    arrays = {
        "loss": np.array([NAN, 2.0, 1.0, 0.5]),
        "accuracy": ACCURACY,
        "accuracy_low": ACCURACY - 0.05,
        "accuracy_high": ACCURACY + 0.04,
        "tolerance": np.array([NAN, 0.1, 0.1, 0.3]),
        "size": np.array([900, 700, 500, 250]),
        "ranks": RANKS,
        "values": values,
    }
    test = {"accuracy": 0.94, "interval": [0.92, 0.96], "n": 500}
    facts = {"n_dense": 1000, "total": 30, "n_looked_at": 200, "test": test}
    return Trajectory("net", STEPS, arrays, ("conv", "fc", "deep"), facts)


def lines(ax, count=None):
    """The drawn lines but for those of the steps that are marked."""
    found = [line for line in ax.lines if len(line.get_xdata()) > 1 and line.get_xdata()[0] != line.get_xdata()[-1]]
    return found[:count]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_is_drawn_without_a_warning(trajectory, language, theme):
    figure = plot_trajectory(trajectory, 2, "deep", language=language, theme=theme)
    assert len(figure._repr_png_()[0]) > 5_000
    assert repr(figure) == f"Picture({figure.description})"


def test_a_panel_for_each_layer_over_loss_accuracy_and_spectra(trajectory):
    figure = plot_trajectory(trajectory, 2, language="en")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [
        "conv  5 × 3", "fc  3", "deep  4 × 3 × 2 × 2", "loss", "validation accuracy, n = 200", "conv: singular values",
    ]  # fmt: skip
    assert figure.description == "net, step 20: conv  5 × 3, fc  3, deep  4 × 3 × 2 × 2"


def test_the_numbers_stand_over_the_panels_with_their_kind(trajectory):
    words = plot_trajectory(trajectory, language="en").get_suptitle().split("\n")
    assert words == [
        "net  ·  step 30 of 30",
        "Parameters in training 250  ·  25.0% of 1,000 when dense",
        "Final test accuracy (measured) 94.0% [92.0%, 96.0%], n = 500",
    ]
    recorded = Trajectory("net", STEPS, trajectory.arrays, trajectory.layers, {**trajectory.facts, "recorded": "here"})
    assert "(recorded here)" in plot_trajectory(recorded, language="en").get_suptitle()


def test_every_mode_has_its_ranks_and_a_matrix_one(trajectory):
    for layer, modes in (("conv", 2), ("fc", 1), ("deep", 4)):
        ax = plot_ranks(trajectory, layer).axes[0]
        drawn = lines(ax)
        assert len(drawn) == modes
        assert len({(line.get_color(), line.get_linestyle()) for line in drawn}) == modes
        for mode, line in enumerate(drawn):
            np.testing.assert_array_equal(line.get_xdata(), STEPS)
            np.testing.assert_array_equal(line.get_ydata(), RANKS[:, trajectory.layers.index(layer), mode])
        assert [text.get_text() for text in ax.texts] == [
            f"{r:.0f}" for r in RANKS[-1, trajectory.layers.index(layer)][:modes]
        ]


def test_the_step_looked_at_and_changes_of_the_settings_are_marked(trajectory):
    for draw in (plot_loss, plot_accuracy):
        marked = [line.get_xdata()[0] for line in draw(trajectory, 1).axes[0].lines if set(line.get_ydata()) == {0, 1}]
        assert marked == [30, 10]
    held = Trajectory("net", STEPS, {"loss": trajectory["loss"]})
    assert not [line for line in plot_loss(held).axes[0].lines if set(line.get_ydata()) == {0, 1}]


def test_loss_and_accuracy_are_those_that_are_known(trajectory):
    (line,) = lines(plot_loss(trajectory).axes[0])
    np.testing.assert_array_equal(line.get_xydata(), [[10, 2.0], [20, 1.0], [30, 0.5]])
    ax = plot_accuracy(trajectory).axes[0]
    np.testing.assert_allclose(lines(ax)[0].get_xydata(), [[0, 0.1], [20, 0.9], [30, 0.95]])
    (bars,) = ax.collections
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, [[0.05, 0.14], [0.85, 0.94], [0.9, 0.99]])


@pytest.mark.parametrize("at", range(4))
def test_spectra_are_kept_in_colour_and_cut_in_grey(trajectory, at):
    ax = plot_mode_spectra(trajectory, "conv", at, language="en").axes[0]
    whole, kept = ax.lines[::2], ax.lines[1::2]
    for mode in (0, 1):
        rank = int(RANKS[at, 0, mode])
        np.testing.assert_array_equal(whole[mode].get_ydata(), 2.0 ** -np.arange(rank + 1))
        np.testing.assert_array_equal(kept[mode].get_ydata(), 2.0 ** -np.arange(rank))
        assert whole[mode].get_color() == THEMES["light"].before != kept[mode].get_color()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["outputs", "inputs"]


def test_many_layers_fill_several_rows(trajectory):
    many = {name: np.repeat(trajectory[name][:, :1], 6, axis=1) for name in ("ranks", "values")}
    names = tuple("abcdef")
    figure = plot_trajectory(Trajectory("net", STEPS, {**trajectory.arrays, **many}, names, trajectory.facts))
    assert len(figure.axes) == 9
    figure._repr_png_()


def test_what_was_not_recorded_leaves_its_panel_out_or_empty(trajectory):
    dense = plot_trajectory(Trajectory("dense", STEPS, {"loss": trajectory["loss"]}), language="en")
    assert [ax.get_title(loc="left") for ax in dense.axes] == ["loss", "validation accuracy"]
    dense._repr_png_()
    beginning = {name: values[:1] for name, values in trajectory.arrays.items()}
    plot_trajectory(Trajectory("net", STEPS[:1], beginning, trajectory.layers))._repr_png_()
    unseen = {name: np.where(np.isnan(trajectory["loss"]).reshape(-1, *[1] * (values.ndim - 1)), NAN, values)
              for name, values in trajectory.arrays.items()}  # fmt: skip
    plot_trajectory(Trajectory("net", STEPS, unseen, trajectory.layers), 0)._repr_png_()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda t: plot_trajectory(t, 4), "`at` must be the number of an entry, 0 to 3; got 4."),
        (lambda t: plot_trajectory(t, -1), "0 to 3; got -1."),
        (lambda t: plot_trajectory(t, 0, "fc9"), "`layer` must be one of 'conv', 'fc', 'deep'; got 'fc9'."),
        (lambda t: plot_ranks(t, "fc9"), "`layer` must be one of 'conv', 'fc', 'deep'; got 'fc9'."),
        (
            lambda t: plot_ranks(Trajectory("x", STEPS, {}, ("fc",)), "fc"),
            "`trajectory` must hold 'ranks'; it holds nothing.",
        ),
    ],
)
def test_bad_input_gets_one_sentence(trajectory, act, words):
    with pytest.raises(InputError) as refusal:
        act(trajectory)
    assert words in str(refusal.value)


def test_panels_are_drawn_on_given_axes(trajectory):
    figure = picture(8, 3)
    axes = figure.subplots(1, 4)
    draws = (plot_loss, plot_accuracy)
    for ax, draw in zip(axes, draws, strict=False):
        assert draw(trajectory, ax=ax) is figure
    for ax, draw in zip(axes[2:], (plot_ranks, plot_mode_spectra), strict=True):
        assert draw(trajectory, "conv", ax=ax) is figure
    assert all(ax.lines for ax in axes)
