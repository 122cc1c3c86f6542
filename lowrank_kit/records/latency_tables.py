"""All times that were recorded on one device, with its ceilings."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from lowrank_kit.checks import InputError
from lowrank_kit.records.ceilings import Ceilings
from lowrank_kit.records.latencies import RecordedTime

__all__ = ["Conditions", "LatencyTable"]


class Conditions(NamedTuple):
    """What times under one prediction have in common, beside their device and batch."""

    dtype: str
    precision: str
    layout: str
    mode: str
    threads: int

    def __str__(self) -> str:
        dtype = self.precision if self.precision != "ieee" else self.dtype
        return f"{dtype} · {self.layout} · {self.mode} · {self.threads} thread{'s' if self.threads > 1 else ''}"


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """Rows of one device, all of them, and its ceilings, one for each dtype and precision."""

    rows: tuple[RecordedTime, ...]
    roofs: tuple[Ceilings, ...]

    def __post_init__(self) -> None:
        found = {row.device for row in self.rows} | {roof.device for roof in self.roofs}
        if len(found) != 1 or not self.rows:
            raise InputError(f"a table holds the times and ceilings of one device; got {sorted(found) or 'none'}.")

    @property
    def device(self) -> str:
        return self.rows[0].device

    @property
    def date(self) -> str:
        """When the newest row was timed."""
        return max(row.date for row in self.rows)

    @property
    def torch(self) -> str:
        return self.rows[-1].torch

    @property
    def is_gpu(self) -> bool:
        return bool(self.rows[0].driver)

    @property
    def tile(self) -> int:
        """What channels are rounded up to: a GPU's blocks, or a processor's registers of 16 float32."""
        return 64 if self.is_gpu else 16

    @cached_property
    def conditions(self) -> tuple[Conditions, ...]:
        """Those under which layers were timed that a model of times can be fitted on, the first first."""
        found = (_conditions(row) for row in self.rows if row.network == "fitted" and not _has_one_layout(row))
        known = {(roof.dtype, roof.precision, roof.threads) for roof in self.roofs}
        return tuple(c for c in dict.fromkeys(found) if (c.dtype, c.precision, c.threads) in known)

    def under(self, conditions: Conditions, network: str | None = None) -> list[RecordedTime]:
        """The rows of layers under these conditions, of all networks or one. A linear layer has but one layout."""
        rows = self.rows if network is None else self._by_network.get(network, [])
        open_ = conditions._replace(layout="contiguous")
        return [
            row
            for row in rows
            if row.layer and _conditions(row) in ((conditions, open_) if _has_one_layout(row) else (conditions,))
        ]

    def of(self, network: str, layer: str, batch: int) -> list[RecordedTime]:
        """All rows of a layer at a batch, under whatever conditions."""
        return self._by_layer.get((network, layer, batch), [])

    def roof(self, conditions: Conditions) -> Ceilings:
        """Raises InputError where they were not measured."""
        for roof in self.roofs:
            if (roof.dtype, roof.precision, roof.threads) == (
                conditions.dtype, conditions.precision, conditions.threads,
            ):  # fmt: skip
                return roof
        raise InputError(f"the ceilings of {self.device} in {conditions.dtype} were not measured.")

    @cached_property
    def _by_network(self) -> dict[str, list[RecordedTime]]:
        return _grouped((row.network, row) for row in self.rows)

    @cached_property
    def _by_layer(self) -> dict[tuple[str, str, int], list[RecordedTime]]:
        return _grouped(((row.network, row.layer, row.batch), row) for row in self.rows)


def _conditions(row: RecordedTime) -> Conditions:
    return Conditions(row.dtype, row.precision, row.layout, row.mode, row.threads)


def _has_one_layout(row: RecordedTime) -> bool:
    return row.shape is not None and row.shape.is_linear


def _grouped(pairs: Iterable[tuple[Any, RecordedTime]]) -> dict[Any, list[RecordedTime]]:
    found: dict[Any, list[RecordedTime]] = {}
    for key, row in pairs:
        found.setdefault(key, []).append(row)
    return found
