"""One line of a table of recorded times: what was run, where, when and under which conditions, and how long it took."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from lowrank_kit.checks import InputError
from lowrank_kit.records.plans import LayerPlan
from lowrank_kit.records.shapes import LayerShape
from lowrank_kit.records.timings import Timing

__all__ = ["RecordedTime"]

Sides = tuple[int, ...]


@dataclass(frozen=True)
class RecordedTime:
    """A layer of a network, dense or under a plan, or with an empty `layer` the whole network.

    `fraction` is what the ranks are of the full ones. `ranks` is empty where `method` is "dense", or "narrow": a dense
    layer of so many of the multiply-adds, with fewer channels. The columns of a whole network's shape are empty, with
    0 outputs; `dtype` may be "int8", of dense layers. Times are quantiles over `rounds`, in seconds a pass.
    """

    device: str
    driver: str
    torch: str
    date: str
    network: str
    layer: str
    outputs: int
    inputs: int
    kernel: Sides
    size: Sides
    out_size: Sides
    groups: int
    method: str
    ranks: Sides
    fraction: float
    batch: int
    dtype: str
    precision: str
    layout: str
    mode: str
    threads: int
    p05_s: float
    p25_s: float
    median_s: float
    p75_s: float
    p95_s: float
    rounds: int
    busy: float
    setup_s: float

    @property
    def shape(self) -> LayerShape | None:
        """The dense layer's shape; None for a whole network."""
        if not self.layer:
            return None
        return LayerShape(self.outputs, self.inputs, self.kernel, self.size, self.out_size, self.groups)

    @property
    def plan(self) -> LayerPlan | None:
        """How the layer was factorised; None where it is dense, or a whole network."""
        if not self.ranks:
            return None
        return LayerPlan(self.ranks if self.method == "tucker" else self.ranks[0], self.method)  # type: ignore[arg-type]

    @property
    def forms(self) -> tuple[LayerShape, ...]:
        """The layers that ran one behind the other; none of a whole network."""
        shape, plan = self.shape, self.plan
        if shape is None:
            return ()
        if self.method == "narrow":
            return (shape.narrowed(self.fraction),)
        return (shape,) if plan is None else shape.factorised(plan)

    @property
    def conditions(self) -> dict[str, Any]:
        """What two times must have in common to be compared."""
        names = ("device", "batch", "dtype", "precision", "layout", "mode", "threads")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of(cls, timing: Timing, **told: Any) -> "RecordedTime":
        """A timing, and all the columns that it does not know."""
        row = {name: _short(value) for name, value in timing.to_row().items()}
        return cls(**told, **row)

    def to_text(self) -> dict[str, str]:
        """Every column as text; several numbers are joined as 3x3."""
        return {field.name: _written(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def columns(cls) -> list[str]:
        return [field.name for field in fields(cls)]

    @classmethod
    def check_columns(cls, found: Iterable[str]) -> None:
        """Raises InputError for columns that are missing, foreign, or in another order."""
        there, names = list(found), cls.columns()
        if there != names:
            missing, foreign = [n for n in names if n not in there], [n for n in there if n not in names]
            raise InputError(f"a table of latencies has other columns; missing: {missing}, foreign: {foreign}.")

    @classmethod
    def from_text(cls, row: Mapping[str, str]) -> "RecordedTime":
        """What `to_text` wrote. Raises InputError for other columns, or where one is not what it should be."""
        cls.check_columns(row)
        try:
            return cls(**{field.name: READERS[field.type](row[field.name]) for field in fields(cls)})
        except (ValueError, TypeError) as fault:  # None where the line is too short
            raise InputError(f"a table of latencies has a line that can't be read: {fault}.") from None


def _short(value: Any) -> Any:
    """Four digits, which is more than two runs agree in."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sides(text: str) -> Sides:
    return tuple(int(part) for part in text.split("x")) if text else ()


READERS: dict[Any, Any] = {str: str, int: int, float: float, Sides: _sides}
