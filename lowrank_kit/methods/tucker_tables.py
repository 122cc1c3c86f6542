"""The tables behind a Tucker board: all pairs of ranks from one HOSVD a layer, then measured along a path of pairs."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.maths.tensor import truncation_errors
from lowrank_kit.measurement.cost import layer_macs, layer_params, pair_macs
from lowrank_kit.measurement.quality import logits
from lowrank_kit.measurement.sensitivity import scores_by_rank
from lowrank_kit.methods.allocation import path_of
from lowrank_kit.methods.prediction import accuracy, curve_examples
from lowrank_kit.models.inventory import head_of
from lowrank_kit.models.low_rank import has_modes
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Data, Measurement, Spectrum, TuckerLayer, TuckerTables, tucker_saves

__all__ = ["estimated_ranks", "measure_tucker_drops", "random_pairs", "tabulate_tucker"]

# Between them an estimate, which is a parabola over the error, is drawn straight.
KNOTS = np.linspace(0.05, 1, 20)


def estimated_ranks(modes: tuple[Spectrum, Spectrum]) -> tuple[int, int]:
    """The ranks of outputs and inputs that stand out of a weight's own noise, by empirical variational Bayes.

    It needs no budget and no data. A mode of one is kept; where in another nothing stands out there is no telling what
    is noise, and the layer stays whole.
    """
    full = [len(mode.values) for mode in modes]
    found = [1 if n == 1 else _above_noise(mode) for n, mode in zip(full, modes, strict=True)]
    outputs, inputs = found if all(found) else full
    return outputs, inputs


def tabulate_tucker(factorisation: Factorisation, data: Data, dense: Measurement, *, name: str = "") -> TuckerTables:
    """Tables of a network with its drops estimated from energy: (accuracy - chance) x the energy cut off.

    `dense` is the network measured on the test examples. Raises InputError for a network without a convolution that
    has a kernel and no groups.
    """
    model, x = factorisation.model, data.validation.x
    names = [name for name, layer in factorisation.layers.items() if has_modes(layer)]
    if not names:
        raise InputError("`model` must have a convolution with a kernel larger than 1 and without groups; it has none.")
    macs = layer_macs(model, x)
    prices, head = pair_macs(model, x, names), head_of(model, macs)
    n_classes = logits(model, data.test.x[:1]).shape[1]
    drops = max(dense.accuracy - 1 / n_classes, 0) * KNOTS**2
    layers = []
    for layer in names:
        full, modes = factorisation.modes(layer)
        outputs, inputs, both = prices.get(layer, (0, 0, 0))
        layers.append(
            TuckerLayer(
                layer,
                full.shape,
                macs.get(layer, 0),
                (outputs, inputs),
                both,
                values=(modes[0].values, modes[1].values),
                errors=truncation_errors(full).astype(np.float32),
                estimated=estimated_ranks(modes),
                knots=KNOTS,
                drops=drops,
                is_head=layer == head,
            )
        )
    others = [name for name in factorisation.layers if name not in names]
    return TuckerTables(
        name or data.name,
        factorisation.weights,
        data.fingerprint,
        tuple(layers),
        dense.n_params,
        layer_params(model, names),
        dense.macs,
        n_classes,
        dense.accuracy,
        dense.n_examples,
        whole={name: layer_params(model, [name]) for name in others},
    )


def measure_tucker_drops(
    tables: TuckerTables, factorisation: Factorisation, data: Data, *, points: int = 16
) -> Iterator[TuckerTables]:
    """Tables that know more and more layers: each one's drop measured on the validation examples along a path.

    The path is that of the energy rule: `points` pairs of ranks whose errors are spaced evenly, from the least pair to
    the last that saves. Other pairs are taken to lose what those of the same error lose. A layer's curve replaces its
    estimate when it is whole; the steps are short, a batch each.
    """
    examples = curve_examples(data.validation)
    dense = accuracy(logits(factorisation.model, examples.x), examples)
    for index, table in enumerate(tables.layers):
        pairs, drops = _path(table, points), []
        for scores in scores_by_rank(factorisation, table.name, pairs, examples.x, method="tucker"):
            if scores is not None:
                drops.append(dense - accuracy(scores, examples))
            yield tables
        knots = np.array([table.error_at(pair) for pair in pairs])
        better = replace(table, knots=knots, drops=np.array(drops), measured=True)
        tables = replace(tables, layers=(*tables.layers[:index], better, *tables.layers[index + 1 :]))
        yield tables


def random_pairs(tables: TuckerTables, n: int, *, seed: int = 0) -> Iterable[dict[str, tuple[int, int]]]:
    """n plans as people set them: one level for the network, and each rank off it by a factor e^(0.4 z).

    The level is a share of the sizes of every layer's modes, as often between 1/8 and 1/4 as between 1/2 and 1; the
    head and pairs that would not save stay dense.
    """
    rng = np.random.default_rng(seed)
    for _ in range(n):
        level, plan = 2.0 ** (-3 * rng.random()), {}
        for table in tables.layers:
            full = np.array(table.full_rank)
            ranks = np.round(full * level * np.exp(0.4 * rng.standard_normal(2)))
            outputs, inputs = np.clip(ranks, 1, full).astype(int).tolist()
            cut = not table.is_head and table.saves((outputs, inputs))
            plan[table.name] = (outputs, inputs) if cut else table.full_rank
        yield plan


def _above_noise(mode: Spectrum) -> int:
    # Loaded here, since boards with stored tables can do without its 20 MB of optimisers.
    from lowrank_kit.maths.variational import evbmf_rank

    # A mode may be longer than the rest of its tensor; its last values are then zero but for rounding.
    return evbmf_rank(mode.values[: min(mode.shape)], mode.shape)


def _path(table: TuckerLayer, points: int) -> list[tuple[int, int]]:
    """Pairs that save along the energy rule's path, the one with the least error first; (1, 1) where none saves."""
    _, ranks = path_of("energy", table.modes)
    pairs = [(int(outputs), int(inputs)) for outputs, inputs in ranks]
    pairs = [pair for pair in pairs if tucker_saves(pair, table.shape)] or pairs[:1]
    errors = np.array([table.errors[outputs - 1, inputs - 1] for outputs, inputs in pairs])
    wanted = errors if len(errors) <= points else np.linspace(errors.min(), errors.max(), points)
    nearest = {int(np.argmin(np.abs(errors - error))) for error in wanted}
    return [pairs[i] for i in sorted(nearest, reverse=True)]
