"""Where a board's numbers come from: stored tables at once, the network behind them when it is needed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.files import read_arrays, shipped
from lowrank_kit.records import RankTables

if TYPE_CHECKING:
    from lowrank_kit.widgets.bench import Bench

__all__ = ["prepared"]


def prepared(source: Any, data: Any) -> tuple[RankTables, Callable[[], "Bench"]]:
    """The tables a board paints from, and what makes its bench. A name brings in torch only with the bench."""
    stored = _stored_tables()
    if isinstance(source, str):
        check_name(source, stored, name="source")
        tables = RankTables.from_arrays(*read_arrays(stored[source]))
        return tables, lambda: _from_zoo(source, tables)
    if data is None:
        raise InputError("`data` must come with a module: model, data = load(module, examples).")
    from lowrank_kit.widgets.bench import Bench

    known = RankTables.from_arrays(*read_arrays(stored[data.name])) if data.name in stored else None
    bench = Bench(source, data, known)
    return bench.tables, lambda: bench


def _stored_tables() -> dict[str, Path]:
    return {path.parent.name: path for path in sorted(shipped("data").glob("*/tables.safetensors"))}


def _from_zoo(name: str, tables: RankTables) -> "Bench":
    from lowrank_kit.models.zoo import load
    from lowrank_kit.widgets.bench import Bench

    return Bench(*load(name), tables)
