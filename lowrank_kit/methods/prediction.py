"""The tables behind a rank board: first from spectra alone, then measured layer by layer, then put to the test."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.cost import macs, n_params, positions
from lowrank_kit.measurement.quality import logits, predictions
from lowrank_kit.measurement.sensitivity import scores_by_rank
from lowrank_kit.models.inventory import head_of
from lowrank_kit.models.layers import matrix_shape
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Data, Examples, LayerTable, RankTables

__all__ = ["measure_drops", "random_ranks", "tabulate", "try_plans"]

# Enough to see a point of accuracy; a layer's curve costs one pass over them at every rank.
CURVE_EXAMPLES = 500


def tabulate(factorisation: Factorisation, data: Data, *, name: str = "") -> RankTables:
    """Tables of a network with its drops estimated from energy: (accuracy - chance) x the energy cut off."""
    model = factorisation.model
    if not factorisation.layers:
        raise InputError("`model` must have an nn.Linear or nn.Conv2d to factorise; it has none.")
    reached = positions(model, data.validation.x)
    accuracy = float((predictions(model, data.test) == data.test.y).mean())
    n_classes = logits(model, data.test.x[:1]).shape[1]
    head = head_of(model)
    layers = []
    for layer_name, layer in factorisation.layers.items():
        found = factorisation.factors(layer_name)
        table = LayerTable(
            layer_name,
            matrix_shape(layer),
            reached.get(layer_name, 0),
            layer.bias is not None,
            values=found.S.astype(np.float64),
            drop=np.zeros(found.rank),
            measured=np.zeros(found.rank, dtype=bool),
            is_head=layer_name == head,
        )
        layers.append(replace(table, drop=max(accuracy - 1 / n_classes, 0) * (1 - table.spectrum.energy)))
    return RankTables(
        name or data.name,
        factorisation.weights,
        tuple(layers),
        n_params(model),
        macs(model, data.test.x),
        n_classes,
        accuracy,
        len(data.test),
    )


def measure_drops(
    tables: RankTables, factorisation: Factorisation, data: Data, *, points: int | None = None
) -> Iterator[RankTables]:
    """Tables that know one more rank of one more layer after every step: its drop on the validation examples.

    `points` ranks a layer, spaced evenly in their logarithm, or all ranks that save. A layer's curve replaces the
    estimate once all its ranks are measured; between them the drop is interpolated.
    """
    examples = _curve_examples(data.validation)
    dense = _accuracy(logits(factorisation.model, examples.x), examples)
    for index, table in enumerate(tables.layers):
        ranks, drops = _grid(table.break_even_rank, points), []
        for scores in scores_by_rank(factorisation, table.name, ranks, examples.x):
            drops.append(dense - _accuracy(scores, examples))
            if len(drops) == len(ranks):
                better = _with_curve(table, ranks, drops)
                tables = replace(tables, layers=(*tables.layers[:index], better, *tables.layers[index + 1 :]))
            yield tables


def try_plans(
    tables: RankTables, factorisation: Factorisation, data: Data, *, n: int = 50, seed: int = 0
) -> Iterator[RankTables]:
    """Tables that know one more prediction's error after every step: random plans, predicted and then measured."""
    tables = replace(tables, predicted=np.empty(0), observed=np.empty(0))
    for ranks in random_ranks(tables, n, seed=seed):
        model = factorisation.compress(tables.plan(ranks))
        observed = float((predictions(model, data.test) == data.test.y).mean())
        tables = replace(
            tables,
            predicted=np.append(tables.predicted, tables.predict(ranks)),
            observed=np.append(tables.observed, observed),
        )
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


def _with_curve(table: LayerTable, ranks: np.ndarray, drops: list[float]) -> LayerTable:
    measured = np.isin(np.arange(1, table.full_rank + 1), ranks)
    # Full rank loses nothing: it is the far end of every interpolation.
    drop = np.interp(np.arange(1, table.full_rank + 1), [*ranks, table.full_rank], [*drops, 0.0])
    return replace(table, drop=drop, measured=measured)


def _curve_examples(validation: Examples) -> Examples:
    return validation if len(validation) <= CURVE_EXAMPLES else validation.stratified(CURVE_EXAMPLES)[0]


def _accuracy(scores: np.ndarray, examples: Examples) -> float:
    return float((scores.argmax(axis=1) == examples.y).mean())


def _grid(limit: int, points: int | None) -> np.ndarray:
    """Ranks from 1 to `limit`, all of them or about `points`; at least rank 1."""
    if points is None or limit <= points:
        return np.arange(1, max(limit, 1) + 1)
    return np.unique(np.geomspace(1, limit, points).round().astype(int))
