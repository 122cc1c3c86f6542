"""The Tucker board: for each convolution one slider over its outputs and one over its inputs, and what they do."""

from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.records import Measurement, TuckerTables
from lowrank_kit.widgets.assets import module, style
from lowrank_kit.widgets.measured_board import BY_HAND, MeasuredBoard
from lowrank_kit.widgets.source import TUCKER

if TYPE_CHECKING:
    from lowrank_kit.plots.figure import Picture

__all__ = ["TuckerBoard"]


class TuckerBoard(MeasuredBoard):
    """Sliders over both ranks of every convolution with a kernel, in the browser and from Python alike.

    Parameters
    ----------
    source : a name of the zoo, whose board paints from stored tables before torch is loaded, or an nn.Module
    data : for a module, the Data that :func:`lowrank_kit.load` gave with it
    batch : how many examples are timed at once
    language : "en" or "ja"; LOWRANK_KIT_LANG or English where not given

    A convolution becomes 1 x 1, k x k and 1 x 1. Linear layers and others without such modes stay whole, and a budget
    is a share of these convolutions alone. While a slider moves, everything shown is looked up in tables made from one
    HOSVD a layer; when it is let go the network is measured in a thread, with factors that are refined. `set_ranks`,
    `set_budget`, `set_estimated`, `undo` and `reset` do what a hand does, `wait` lets the measurement finish, and
    `record` holds it.
    """

    _esm = module("tucker_board")
    _css = style("tucker_board")
    shelf = TUCKER
    rooms = ("board", "tucker")
    tables: TuckerTables

    def set_ranks(self, layer: str, outputs: int, inputs: int) -> None:
        """Set one convolution's ranks. Raises InputError for an unknown one or a rank out of range."""
        full = {table.name: table.full_rank for table in self.tables.layers}
        check_name(layer, full, name="layer")
        for name, rank, limit in zip(("outputs", "inputs"), (outputs, inputs), full[layer], strict=True):
            if isinstance(rank, bool) or not isinstance(rank, Integral) or not 1 <= rank <= limit:
                raise InputError(f"`{name}` must be a whole number between 1 and {limit} for {layer}; got {rank!r}.")
        self._set({**self.ranks, layer: (int(outputs), int(inputs))}, BY_HAND)

    def set_estimated(self) -> None:
        """All convolutions, the head aside, at the ranks that stand out of their weights' noise; no budget decides."""
        found = {table.name: table.estimated for table in self.tables.layers if not table.is_head}
        self._set(self._dense_ranks() | found, {**BY_HAND, "rule": "vbmf"})

    def __repr__(self) -> str:
        kept = self.tables.n_params_at(self.ranks) / self.tables.n_params
        count = len(self.tables.layers)
        return f"TuckerBoard({self.tables.name}: {count} convolutions, {kept:.0%} of the parameters kept)"

    def _picture(self, ranks: Mapping[str, Any], measured: Measurement, dense: Measurement) -> "Picture":
        from lowrank_kit.plots.tucker_board import plot_tucker_board

        return plot_tucker_board(self.tables, ranks, measured, dense, language=self.language)
