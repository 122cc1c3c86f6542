"""Where a board's numbers come from: stored tables at once, the network behind them when it is needed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.files import read_arrays, shipped
from lowrank_kit.records import NetworkTables, RankTables, TuckerTables

if TYPE_CHECKING:
    from lowrank_kit.widgets.bench import Bench

__all__ = ["RANKS", "TUCKER", "Shelf"]


@dataclass(frozen=True)
class Shelf:
    """The tables of one kind: the file they are stored in beside each network, and how it is read."""

    file: str
    kind: type[RankTables] | type[TuckerTables]

    def prepared(self, source: Any, data: Any) -> tuple[NetworkTables, Callable[[], "Bench"]]:
        """The tables a board paints from, and what makes its bench. A name brings in torch only with the bench."""
        stored = self._stored()
        if isinstance(source, str):
            check_name(source, stored, name="source")
            tables = self._read(stored[source])
            return tables, lambda: self._from_zoo(source, tables)
        if data is None:
            raise InputError("`data` must come with a module: model, data = load(module, examples).")
        bench = self._bench(source, data, self._read(stored[data.name]) if data.name in stored else None)
        return bench.tables, lambda: bench

    def _stored(self) -> dict[str, Path]:
        return {path.parent.name: path for path in sorted(shipped("data").glob(f"*/{self.file}"))}

    def _read(self, path: Path) -> NetworkTables:
        return self.kind.from_arrays(*read_arrays(path))

    def _from_zoo(self, name: str, tables: NetworkTables) -> "Bench":
        from lowrank_kit.models.zoo import load

        return self._bench(*load(name), tables)

    def _bench(self, model: Any, data: Any, tables: NetworkTables | None) -> "Bench":
        from lowrank_kit.widgets.bench import BENCHES

        return BENCHES[self.kind](model, data, tables)


RANKS = Shelf("tables.safetensors", RankTables)
TUCKER = Shelf("tucker.safetensors", TuckerTables)
