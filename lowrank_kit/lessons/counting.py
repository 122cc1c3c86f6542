"""How many numbers does a network in factors store? An exercise on a table that counted half of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import default_language, strings
from lowrank_kit.lessons.verdict import Verdict
from lowrank_kit.records import Rank, factor_params, tucker_params

__all__ = ["LENET5", "LENET5_TABLE", "PublishedRow", "check_count"]

Shapes = Mapping[str, tuple[int, ...]]
Ranks = Mapping[str, Rank]

# The layers of the LeNet-5 below, outputs x inputs; convolutions as matrices, 5 x 5 kernels unrolled; no biases.
LENET5 = {"conv1": (20, 25), "conv2": (50, 500), "fc1": (500, 800), "fc2": (10, 500)}


@dataclass(frozen=True)
class PublishedRow:
    """Accuracy on the MNIST test images in percent, mean and standard deviation of five trainings.

    `ranks` and `counted`, the parameters that the table states, are those of one of the five. fc2 is whole.
    """

    tolerance: float
    accuracy: float
    deviation: float
    ranks: Mapping[str, int]
    counted: int


def _row(tolerance: float, accuracy: float, deviation: float, ranks: Sequence[int], counted: int) -> PublishedRow:
    return PublishedRow(tolerance, accuracy, deviation, dict(zip(LENET5, ranks, strict=False)), counted)


# Matrix DLRT (Schotthöfer, Zangrando, Kusch, Ceruti, Tudisco, NeurIPS 2022), as stored in the public repository
# COMPiLELab/DLRT-Net, Lenet_experiment/cross_val_tab_paper.csv, commit aea3af5. Dense, it has 98.819 +- 0.064.
LENET5_TABLE = (
    _row(0.09, 98.161, 0.260, (10, 23, 62), 37_445),
    _row(0.11, 98.212, 0.438, (10, 20, 48), 30_278),
    _row(0.13, 97.872, 0.489, (9, 16, 37), 24_542),
    _row(0.15, 98.139, 0.329, (9, 16, 28), 20_033),
    _row(0.20, 98.115, 0.343, (8, 8, 15), 13_091),
    _row(0.30, 97.451, 0.484, (4, 6, 8), 9_398),
    _row(0.40, 95.967, 0.949, (2, 4, 4), 7_250),
    _row(0.45, 94.068, 0.486, (2, 2, 3), 6_647),
)


def check_count(answer: int, shapes: Shapes, ranks: Ranks, *, language: str | None = None) -> Verdict:
    """Tell the numbers that weights in factors store from the usual ways to miscount them, and say why.

    Parameters
    ----------
    shapes : {layer: outputs, inputs and, of a convolution, its kernel}, from the first layer to the last
    ranks : {layer: its rank, or in Tucker form the pair of outputs and inputs}; other layers are whole

    Raises InputError unless the answer is a whole number and every rank belongs to a layer.

    >>> check_count(928, {"conv": (64, 32, 3, 3)}, {"conv": (8, 4)}, language="en")
    ✓ 928 it is: 8 x 4 x 9 + 64 x 8 + 32 x 4. That removes 95.0% of 18,432.
    >>> check_count(640, {"conv": (64, 32, 3, 3)}, {"conv": (8, 4)}, language="en")
    ✗ 640 leaves out the core: conv stores 8 x 4 x 9 numbers between its two factors.
    """
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise InputError(f"`answer` must be a whole number; got {answer!r}.")
    strangers = [name for name in ranks if name not in shapes]
    if strangers or not ranks:
        raise InputError(f"`ranks` must be of layers in `shapes`, at least one; got {', '.join(ranks) or 'none'}.")
    totals = _totals(shapes, ranks)
    right, dense = totals["right"], totals["dense"]
    slip = next((name for name, total in totals.items() if total == answer), "high" if answer > right else "low")
    values = _written(shapes, ranks) | {
        "answer": f"{answer:,}", "right": f"{right:,}", "dense": f"{dense:,}", "removed": f"{1 - right / dense:.1%}",
    }  # fmt: skip
    text = strings("lessons", language or default_language())[f"numbers_{slip}"]
    return Verdict(slip == "right", text.format(**values))


def _totals(shapes: Shapes, ranks: Ranks) -> dict[str, int]:
    """What the right way of counting and each wrong one come to; the most telling one first."""
    each = {name: _stored(shape, ranks.get(name)) for name, shape in shapes.items()}
    right, whole = sum(each.values()), sum(each[name] for name in shapes if name not in ranks)
    (first, *_), (*_, last) = shapes, shapes
    pairs = {name: _pair(rank) for name, rank in ranks.items()}
    outputs, inputs = (
        sum(_sides(shapes[name], rank)[side] * pairs[name][side] for name, rank in ranks.items()) for side in (0, 1)
    )
    cores = sum(_core(shapes[name], rank) for name, rank in ranks.items())
    matrices = [rank for rank in ranks.values() if isinstance(rank, int)]
    found = {
        "right": right,
        "dense": sum(map(prod, shapes.values())),
        # As the table above did: a number more for each rank, perhaps its singular value.
        "stated": outputs + sum(matrices) + whole if len(matrices) == len(ranks) else right,
        "core": right - cores,
        "outputs": outputs + whole,
        "inputs": inputs + whole,
        "square": right + sum(rank**2 for rank in matrices),
        "biases": right + sum(shape[0] for shape in shapes.values()),
        "whole": right - whole,
        "last": right - each[last],
        "first": right - each[first],
        "first_whole": right - each[first] + prod(shapes[first]),
    }
    return {name: total for name, total in found.items() if name == "right" or total != right}


def _stored(shape: tuple[int, ...], rank: Rank | None) -> int:
    if rank is None:
        return prod(shape)
    return factor_params(rank, _sides(shape, rank)) if isinstance(rank, int) else tucker_params(rank, shape)


def _sides(shape: tuple[int, ...], rank: Rank) -> tuple[int, int]:
    """What the two factors are as long as: a matrix unrolls the kernel, Tucker form leaves it to the core."""
    return (shape[0], prod(shape[1:])) if isinstance(rank, int) else (shape[0], shape[1])


def _core(shape: tuple[int, ...], rank: Rank) -> int:
    return 0 if isinstance(rank, int) else prod(rank) * prod(shape[2:])


def _pair(rank: Rank) -> tuple[int, int]:
    return (rank, rank) if isinstance(rank, int) else rank


def _written(shapes: Shapes, ranks: Ranks) -> dict[str, str]:
    """The sum as it is to be done, and the first layer in factors as an example."""
    name = next(iter(ranks))
    last = list(shapes)[-1]
    return {
        "sum": " + ".join(_summand(shape, ranks.get(layer)) for layer, shape in shapes.items()),
        "layer": name, "example": _summand(shapes[name], ranks[name]), "last": last, "first": next(iter(shapes)),
        "core": _core_written(shapes[name], ranks[name]), "whole": ", ".join(n for n in shapes if n not in ranks),
        "last_sum": _summand(shapes[last], ranks.get(last)),
        "first_sum": _summand(shapes[next(iter(shapes))], ranks.get(next(iter(shapes)))),
    }  # fmt: skip


def _summand(shape: tuple[int, ...], rank: Rank | None) -> str:
    if rank is None:
        return f"{prod(shape):,}"
    outputs, inputs = _sides(shape, rank)
    if isinstance(rank, int):
        return f"{rank} x ({outputs} + {inputs})"
    return f"{_core_written(shape, rank)} + {outputs} x {rank[0]} + {inputs} x {rank[1]}"


def _core_written(shape: tuple[int, ...], rank: Rank) -> str:
    return "" if isinstance(rank, int) else f"{rank[0]} x {rank[1]} x {prod(shape[2:])}"
