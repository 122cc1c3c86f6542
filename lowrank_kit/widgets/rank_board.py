"""The rank board: a slider a layer, and what its rank does to spectrum, size, arithmetic, accuracy and latency."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lowrank_kit.checks import check_name, check_rank
from lowrank_kit.records import Measurement, RankTables
from lowrank_kit.widgets.assets import module, style
from lowrank_kit.widgets.measured_board import BY_HAND, MeasuredBoard
from lowrank_kit.widgets.source import RANKS

if TYPE_CHECKING:
    from lowrank_kit.plots.figure import Picture

__all__ = ["RankBoard"]


class RankBoard(MeasuredBoard):
    """Sliders over the ranks of a network, in the browser and from Python alike.

    Parameters
    ----------
    source : a name of the zoo, whose board paints from stored tables before torch is loaded, or an nn.Module
    data : for a module, the Data that :func:`lowrank_kit.load` gave with it
    batch : how many examples are timed at once
    language : "en" or "ja"; LOWRANK_KIT_LANG or English where not given

    While a slider moves, everything shown is looked up in tables; when it is let go the network is measured in a
    thread. `set_rank`, `set_budget`, `undo` and `reset` do what a hand does, `wait` lets the measurement finish, and
    `record` holds it.
    """

    _esm = module("rank_board")
    _css = style("rank_board")
    shelf = RANKS
    tables: RankTables

    def set_rank(self, layer: str, rank: int) -> None:
        """Set one layer's rank. Raises InputError for an unknown layer or a rank out of range."""
        tables = {table.name: table for table in self.tables.layers}
        check_name(layer, tables, name="layer")
        check_rank(rank, tables[layer].shape)
        self._set({**self.ranks, layer: int(rank)}, BY_HAND)

    def __repr__(self) -> str:
        kept = self.tables.n_params_at(self.ranks) / self.tables.n_params
        return f"RankBoard({self.tables.name}: {len(self.tables.layers)} layers, {kept:.0%} of the parameters kept)"

    def _picture(self, ranks: Mapping[str, Any], measured: Measurement, dense: Measurement) -> "Picture":
        from lowrank_kit.plots.board import plot_board

        return plot_board(self.tables, ranks, measured, dense, language=self.language)
