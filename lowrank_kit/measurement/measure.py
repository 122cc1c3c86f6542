"""One network on one set of examples: accuracy, size, arithmetic and time in one record."""

from torch import nn

from lowrank_kit.measurement.cost import macs, n_params, size_bytes
from lowrank_kit.measurement.latency import latency
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.records import Data, Examples, Measurement, RankPlan, Timing

__all__ = ["measure", "measure_pair"]


def measure(
    model: nn.Module,
    data: Data | Examples,
    *,
    label: str | None = None,
    plan: RankPlan | None = None,
    batch: int = 1,
    latency_budget_s: float = 0.5,
) -> Measurement:
    """Accuracy on the test examples (or the given ones), parameters, bytes, multiply-adds, latency.

    `batch` examples are timed for about `latency_budget_s` seconds; 0 skips the latency. Two networks are compared
    fairly in time only by :func:`measure_pair`. Raises InputError where the model does not return class scores or
    labels lie outside its classes.
    """
    examples = data.test if isinstance(data, Data) else data
    timing = latency([model], examples.x, batch=batch, budget_s=latency_budget_s)[0] if latency_budget_s else None
    return _measurement(model, examples, timing, label=label, plan=plan)


def measure_pair(
    dense: nn.Module,
    compressed: nn.Module,
    data: Data | Examples,
    *,
    plan: RankPlan | None = None,
    batch: int = 1,
    latency_budget_s: float = 1.0,
) -> tuple[Measurement, Measurement]:
    """The dense and the compressed network, timed in turn: their change and speed-up may be compared."""
    examples = data.test if isinstance(data, Data) else data
    timings = latency([dense, compressed], examples.x, batch=batch, budget_s=latency_budget_s)
    return (
        _measurement(dense, examples, timings[0], label="dense"),
        _measurement(compressed, examples, timings[1], label="compressed", plan=plan),
    )


def _measurement(
    model: nn.Module,
    examples: Examples,
    timing: Timing | None,
    *,
    label: str | None,
    plan: RankPlan | None = None,
) -> Measurement:
    return Measurement(
        label or type(model).__name__,
        n_params(model),
        size_bytes(model),
        macs(model, examples.x),
        examples.y,
        predictions(model, examples),
        timing,
        plan,
    )
