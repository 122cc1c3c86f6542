"""What a network holds while it is trained, beside what it holds in use."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.records import TrainingMemory

__all__ = ["plot_training_memory"]

PARTS = ("weights", "gradients", "moments", "activations")
MIB = 2**20


def plot_training_memory(
    training: Mapping[str, TrainingMemory],
    in_use: Mapping[str, int],
    *,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """A bar for every stage of a training, by what is held, over one for each network in use, in MiB.

    Parameters
    ----------
    training : {stage: what is held}; "dense", "adaptive_first" and "adaptive_last" are told in the picture's language
    in_use : {network: bytes of its weights}; "dense" and "compressed" likewise
    """
    if not training or not in_use:
        raise InputError("`training` and `in_use` must hold at least one network each.")
    figure = picture(7.6, 0.36 * (len(training) + len(in_use)) + 1.3, language=language, theme=theme)
    words, theme_ = figure.words, figure.theme
    figure.description = words["training_memory_description"].format(names=", ".join((*training, *in_use)))
    colours = dict(zip(PARTS, (theme_.after, theme_.accent, "#cc79a7", theme_.before), strict=True))
    look: dict[str, Any] = {"height": 0.62, "lw": 0.5, "edgecolor": theme_.paper}
    with figure.styled():
        ax = figure.subplots()
        names = [words.get(f"training_{name}", name) for name in training]
        left = np.zeros(len(training))
        for part in PARTS:
            width = np.array([getattr(held, part) for held in training.values()]) / MIB
            ax.barh(np.arange(len(training)), width, left=left, color=colours[part], label=words[part], **look)
            left += width
        rows = len(training) + 0.35 + np.arange(len(in_use))
        used = np.array([*in_use.values()]) / MIB
        ax.barh(rows, used, color=colours["weights"], **look)
        names += [words.get(f"used_{name}", name) for name in in_use]
        for row, value in zip([*range(len(training)), *rows], [*left, *used], strict=True):
            ax.annotate(
                f"{value:.1f}" if value >= 0.095 else f"{value:.2f}", (value, row), (4, 0),
                textcoords="offset points", va="center", fontsize=8.5, color=theme_.ink,
            )  # fmt: skip
        ax.set_yticks([*range(len(training)), *rows], names)
        ax.set_ylim(rows[-1] + 0.6, -0.6)
        ax.set_xlabel("MiB")
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
        ax.set_xlim(0, 1.09 * max(*left, *used))
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=4, handlelength=1.2)
    return figure
