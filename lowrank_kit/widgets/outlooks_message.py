"""What the latency board paints from: outlooks of a network's layers on several devices, as one message."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowrank_kit.i18n import LANGUAGES, strings
from lowrank_kit.maths.verdicts import VERDICTS
from lowrank_kit.records import LatencyTable, LayerOutlook, NetworkOutlook
from lowrank_kit.widgets.wire import packed

__all__ = ["outlooks_message"]

# What there is of a layer at the ranks that were timed.
TIMED = ("timed", "medians", "lows", "highs")


def outlooks_message(
    known: Sequence[tuple[NetworkOutlook, LatencyTable, int]],
    *,
    networks: Sequence[str],
    methods: Sequence[str],
    batches: Sequence[int],
) -> tuple[dict[str, Any], list[bytes]]:
    """The message and its buffers.

    Of each device its outlook, the table that is made from and the number of the conditions chosen there; beside them
    what else can be chosen.
    """
    words = {
        "network": known[0][0].layers[0].layer.network,
        "networks": list(networks),
        "methods": list(methods),
        "batches": list(batches),
        "devices": [_device(*of) for of in known],
    }
    arrays = {f"{name} {d}": part for d, (found, _, _) in enumerate(known) for name, part in _arrays(found).items()}
    spoken = {language: strings("latency", language) for language in LANGUAGES}
    return packed({"kind": "outlooks", "words": words, "strings": spoken}, arrays)


def _device(found: NetworkOutlook, table: LatencyTable, chosen: int) -> dict[str, Any]:
    """The words of one device."""
    roof = found.roof
    return {
        "device": table.device,
        "date": table.date,
        "torch": table.torch,
        "tile": table.tile,
        "conditions": [str(conditions) for conditions in table.conditions],
        "chosen": chosen,
        "judged": {"n": len(found.judged), "off": found.judged.off if len(found.judged) else None},
        "roof": {
            "macs_per_s": roof.macs_per_s,
            "rates": [list(pair) for pair in roof.copies],
            "itemsize": roof.itemsize,
        },
        "layers": [_layer(layer) for layer in found.layers],
    }


def _layer(found: LayerOutlook) -> dict[str, Any]:
    dense = {
        "macs": found.dense_macs,
        "moved": found.dense_moved,
        "bound": found.dense_bound_s,
        "foretold": found.dense_s,
    }
    return {
        "name": found.layer.name,
        "count": found.layer.count,
        "method": found.method,
        "full": list(found.layer.shape.full_ranks(found.method)),
        "columns": found.ranks.shape[1],
        "n": len(found.ranks),
        "n_timed": len(found.timed),
        "dense": dense | {"timed": found.dense_timed and list(found.dense_timed)},
        "rivals": [list(rival) for rival in found.rivals],
    }


def _arrays(network: NetworkOutlook) -> dict[str, np.ndarray]:
    """Everything that has a value for each rank, the layers one behind the other."""
    codes = [np.array([VERDICTS.index(name) for name in found.verdicts]) for found in network.layers]
    parts = {
        "ranks": [found.ranks.ravel() for found in network.layers],
        "macs": [found.macs for found in network.layers],
        "moved": [found.moved for found in network.layers],
        "bound": [found.bound_s for found in network.layers],
        "foretold": [found.foretold_s for found in network.layers],
        "verdicts": codes,
        **{name: [getattr(found, name) for found in network.layers] for name in TIMED},
    }
    return {name: np.concatenate(found).astype(np.float64) for name, found in parts.items()}
