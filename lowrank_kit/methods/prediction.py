"""The tables behind a rank board: first from spectra alone, then measured layer by layer, then put to the test."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.cost import layer_macs, layer_params, rank_macs
from lowrank_kit.measurement.quality import logits, logits_by_batch
from lowrank_kit.measurement.sensitivity import scores_by_rank
from lowrank_kit.models.inventory import head_of
from lowrank_kit.models.low_rank import groups_of, matrix_shape
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import (
    Data,
    Examples,
    LayerPlan,
    LayerTable,
    Measurement,
    NetworkTables,
    Rank,
    RankTables,
    break_even_rank,
)

__all__ = ["accuracy", "curve_examples", "measure_drops", "random_ranks", "tabulate", "try_plans"]

# Enough to see a point of accuracy; a layer's curve costs one pass over them at every rank.
CURVE_EXAMPLES = 500

Tables = TypeVar("Tables", bound=NetworkTables)


def tabulate(factorisation: Factorisation, data: Data, dense: Measurement, *, name: str = "") -> RankTables:
    """Tables of a network with its drops estimated from energy: (accuracy - chance) x the energy cut off.

    `dense` is the network measured on the test examples.
    """
    model = factorisation.model
    layers = {name: layer for name, layer in factorisation.layers.items() if break_even_rank(matrix_shape(layer))}
    if not layers:
        raise InputError("`model` must have a linear or convolution layer that factors make smaller; it has none.")
    x = data.validation.x
    dense_macs, per_rank = layer_macs(model, x), rank_macs(model, x, {name: LayerPlan(1) for name in layers})
    n_classes = logits(model, data.test.x[:1]).shape[1]
    head = head_of(model, dense_macs)
    tables = (
        LayerTable(
            layer,
            matrix_shape(module),
            dense_macs.get(layer, 0),
            per_rank.get(layer, 0),
            values=factorisation.spectrum(layer).values,
            drop=np.zeros(min(matrix_shape(module))),
            measured=np.zeros(min(matrix_shape(module)), dtype=bool),
            groups=groups_of(module),
            is_head=layer == head,
        )
        for layer, module in layers.items()
    )
    above_chance = max(dense.accuracy - 1 / n_classes, 0)
    return RankTables(
        name or data.name,
        factorisation.weights,
        data.fingerprint,
        tuple(replace(table, drop=above_chance * (1 - table.spectrum.energy)) for table in tables),
        dense.n_params,
        layer_params(model),
        dense.macs,
        n_classes,
        dense.accuracy,
        dense.n_examples,
    )


def measure_drops(
    tables: RankTables, factorisation: Factorisation, data: Data, *, points: int | None = None
) -> Iterator[RankTables]:
    """Tables that know more and more layers: each one's drop measured on the validation examples, rank by rank.

    `points` ranks a layer, spaced evenly in their logarithm, or all ranks that save; between them the drop is
    interpolated. A layer's curve replaces its estimate when it is whole; the steps are short, a batch each.
    """
    examples = curve_examples(data.validation)
    dense = accuracy(logits(factorisation.model, examples.x), examples)
    for index, table in enumerate(tables.layers):
        ranks, drops = _grid(table.break_even_rank, points), []
        for scores in scores_by_rank(factorisation, table.name, ranks, examples.x):
            if scores is not None:
                drops.append(dense - accuracy(scores, examples))
            yield tables
        better = _with_curve(table, ranks, drops)
        tables = replace(tables, layers=(*tables.layers[:index], better, *tables.layers[index + 1 :]))
        yield tables


def random_ranks(tables: RankTables, n: int, *, seed: int = 0) -> Iterable[dict[str, int]]:
    """n plans as people set them: one level for the network, uniform in (0, 1), each layer off by a factor e^(0.4 z).

    The level is a share of every layer's break-even rank; the head and layers that can't save stay dense.
    """
    rng = np.random.default_rng(seed)
    for _ in range(n):
        level = rng.random()
        ranks = {}
        for table in tables.layers:
            rank = round(table.break_even_rank * level * np.exp(0.4 * rng.standard_normal()))
            free = not table.is_head and table.break_even_rank > 0
            ranks[table.name] = int(np.clip(rank, 1, table.break_even_rank)) if free else table.full_rank
        yield ranks


def try_plans(
    tables: Tables,
    factorisation: Factorisation,
    data: Data,
    *,
    n: int = 50,
    seed: int = 0,
    draw: Callable[..., Iterable[Mapping[str, Rank]]] = random_ranks,
) -> Iterator[Tables]:
    """Tables that know more and more predictions' errors: random plans, predicted and then measured on test examples.

    `draw` makes the plans, as :func:`random_ranks` does. The steps are short, a batch each.
    """
    tables = replace(tables, predicted=np.empty(0), observed=np.empty(0))
    for ranks in draw(tables, n, seed=seed):
        model, parts = factorisation.compress(tables.plan(ranks)), []
        for scores in logits_by_batch(model, data.test.x):
            parts.append(scores)
            yield tables
        tables = replace(
            tables,
            predicted=np.append(tables.predicted, tables.predict(ranks)),
            observed=np.append(tables.observed, accuracy(np.concatenate(parts), data.test)),
        )
        yield tables


def _with_curve(table: LayerTable, ranks: np.ndarray, drops: list[float]) -> LayerTable:
    measured = np.isin(np.arange(1, table.full_rank + 1), ranks)
    # Full rank loses nothing: it is the far end of every interpolation.
    drop = np.interp(np.arange(1, table.full_rank + 1), [*ranks, table.full_rank], [*drops, 0.0])
    return replace(table, drop=drop, measured=measured)


def curve_examples(validation: Examples) -> Examples:
    """Enough of the validation examples to measure a layer's curve on."""
    return validation if len(validation) <= CURVE_EXAMPLES else validation.stratified(CURVE_EXAMPLES)[0]


def accuracy(scores: np.ndarray, examples: Examples) -> float:
    """The fraction that class scores (n, classes) get right."""
    return float((scores.argmax(axis=1) == examples.y).mean())


def _grid(limit: int, points: int | None) -> np.ndarray:
    """Ranks from 1 to `limit`, all of them or about `points`; at least rank 1."""
    if points is None or limit <= points:
        return np.arange(1, max(limit, 1) + 1)
    return np.unique(np.geomspace(1, limit, points).round().astype(int))
