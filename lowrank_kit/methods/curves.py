"""One layer at many ranks, the rest of the network left whole; and such curves side by side."""

from collections.abc import Iterable, Mapping

import numpy as np

from lowrank_kit.checks import InputError, check_rank
from lowrank_kit.measurement.quality import logits
from lowrank_kit.measurement.sensitivity import scores_by_rank
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Examples, Grid, RankCurve
from lowrank_kit.records.grids import Measure

__all__ = ["class_grid", "halving_grid", "halvings", "rank_curves"]


def halvings(full: int) -> list[int]:
    """Ranks from 1 up to half of the full rank, each about twice the one before.

    >>> halvings(64), halvings(25)
    ([1, 2, 4, 8, 16, 32], [1, 2, 4, 7, 13])
    """
    ranks = [full]
    while ranks[0] > 1:
        ranks.insert(0, -(-ranks[0] // 2))
    return ranks[:-1] or ranks


def rank_curves(
    factorisation: Factorisation,
    examples: Examples,
    ranks: Mapping[str, Iterable[int]] | None = None,
    *,
    method: str = "svd",
) -> dict[str, RankCurve]:
    """{layer: what is predicted with this layer at several ranks and the others left whole}.

    `ranks` says which layers and ranks; by default every layer, at the halvings of its full rank. Raises InputError
    for a layer, a rank or a method the network does not have.
    """
    if ranks is None:
        ranks = {name: halvings(min(factorisation.spectrum(name, method).shape)) for name in factorisation.layers}
    dense = logits(factorisation.model, examples.x).argmax(axis=1)
    return {name: _curve(factorisation, name, examples, sorted(set(r)), dense, method) for name, r in ranks.items()}


def _curve(
    factorisation: Factorisation, layer: str, examples: Examples, ranks: list[int], dense: np.ndarray, method: str
) -> RankCurve:
    shape = factorisation.spectrum(layer, method).shape
    for rank in ranks:
        check_rank(rank, shape, name=f"rank of {layer}")
    found = scores_by_rank(factorisation, layer, ranks, examples.x, method=method)
    predictions = np.stack([scores.argmax(axis=1) for scores in found if scores is not None])
    return RankCurve(layer, shape, np.array(ranks), examples.y, dense, predictions)


def halving_grid(curves: Mapping[str, RankCurve], against: Mapping[str, RankCurve] | None = None) -> Grid:
    """Layers by halvings of the full rank: the change in accuracy, or the advantage over the curves `against`.

    Each cell notes its rank; it is empty where a layer has no such rank or was not tried at it, and a column that is
    empty throughout is left out. Raises InputError where the curves are not on equally many examples.
    """
    sizes = {curve.n_examples for part in (curves, against or {}) for curve in part.values()}
    if len(sizes) != 1:
        raise InputError(f"`curves` must all be on the same examples; got sizes {sorted(sizes)}.")
    ranks = {name: halvings(min(curve.shape)) for name, curve in curves.items()}
    width = max(map(len, ranks.values()))
    values, notes = np.full((len(curves), width), np.nan), np.full((len(curves), width), "", dtype=object)
    for row, (name, curve) in enumerate(curves.items()):
        other = None if against is None else against[name]
        for column, rank in enumerate(ranks[name], start=width - len(ranks[name])):
            if rank in curve.ranks and (other is None or rank in other.ranks):
                values[row, column] = curve.at(rank) - (curve.dense_accuracy if other is None else other.at(rank))
                notes[row, column] = str(rank)
    filled = np.flatnonzero(~np.isnan(values).all(axis=0))
    columns = tuple(f"1/{2 ** (width - column)}" for column in filled.tolist())
    measure: Measure = "change" if against is None else "advantage"
    parts = values[:, filled], sizes.pop(), notes[:, filled]
    return Grid(measure, "layer", tuple(curves), "fraction", columns, *parts)


def class_grid(curves: Mapping[str, RankCurve], ranks: Mapping[str, Iterable[int]]) -> Grid:
    """Classes by layers, each layer cut alone to each of its ranks: the accuracy on each class."""
    first, columns, found = next(iter(curves.values())), [], []
    for name, tried in ranks.items():
        for number, rank in enumerate(tried):
            columns.append(f"{name if number == 0 else ''}\n{rank}")
            found.append(curves[name].class_accuracy(rank))
    trials = min(int((first.labels == c).sum()) for c in first.classes)
    rows, values = tuple(map(str, first.classes)), np.stack(found, axis=1)
    return Grid("accuracy", "class", rows, "cut", tuple(columns), values, trials)
