"""Where a layer's inputs lie: in the directions that its weight reads, and in those that the data have themselves."""

from collections.abc import Mapping

import numpy as np

from lowrank_kit.checks import check_rank
from lowrank_kit.maths.dimension import two_nn
from lowrank_kit.maths.principal import principal_coordinates
from lowrank_kit.maths.separation import nearest_mean, variance_between
from lowrank_kit.measurement.activations import latent_coordinates, layer_inputs
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Examples, LatentView

__all__ = ["latent_views"]


def latent_views(
    factorisation: Factorisation, shown: Examples, seen: Examples, ranks: Mapping[str, int]
) -> dict[str, LatentView]:
    """{layer: its inputs for the examples shown} with the layer's leading directions kept and the others cut.

    Parameters
    ----------
    seen : examples the class means are taken from, by which kept and cut directions are then read
    ranks : {layer: how many directions are kept}; at least two are left to be cut

    Raises InputError for a layer the network does not have, or a rank that leaves fewer than two directions.
    """
    for layer, rank in ranks.items():
        full = min(factorisation.spectrum(layer).shape)
        check_rank(rank, (full - 2, full - 2), name=f"rank of {layer}")
    inputs, means = (layer_inputs(factorisation.model, part.x, ranks) for part in (shown, seen))
    return {
        layer: _view(factorisation, layer, rank, (inputs[layer], shown.y), (means[layer], seen.y))
        for layer, rank in ranks.items()
    }


def _view(
    factorisation: Factorisation,
    layer: str,
    rank: int,
    shown: tuple[np.ndarray, np.ndarray],
    seen: tuple[np.ndarray, np.ndarray],
) -> LatentView:
    (kept, cut), (kept_seen, cut_seen) = (_parted(factorisation, layer, rank, h) for h, _ in (shown, seen))
    labels, flat = shown[1], shown[0].reshape(len(shown[0]), -1)
    planes = kept[:, :2], cut[:, :2], principal_coordinates(flat)
    read = (nearest_mean(points, means, seen[1]) for points, means in ((kept, kept_seen), (cut, cut_seen)))
    separation, readable = [variance_between(p, labels) for p in planes], [float((r == labels).mean()) for r in read]
    return LatentView(
        layer,
        rank,
        labels,
        *planes,
        (separation[0], separation[1], separation[2]),
        (readable[0], readable[1]),
        two_nn(flat),
    )


def _parted(factorisation: Factorisation, layer: str, rank: int, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in the directions that are kept and in those that are cut, the strongest first in each."""
    z = latent_coordinates(factorisation, layer, h)
    strength = np.stack([part.S for part in factorisation.factors(layer)])
    parts = [(z[:, :, where], strength[:, where]) for where in (slice(None, rank), slice(rank, None))]
    kept, cut = (values.reshape(len(z), -1)[:, np.argsort(-strong.ravel(), kind="stable")] for values, strong in parts)
    return kept, cut
