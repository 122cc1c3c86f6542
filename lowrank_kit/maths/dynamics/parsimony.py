"""The law of parsimony: from an orthogonal start only 2r directions of every weight move by more than one number.

C. Yaras, P. Wang, W. Hu, Z. Zhu, L. Balzano, Q. Qu. The law of parsimony in gradient descent for learning deep linear
networks. arXiv:2306.01154, 2023; Compressible dynamics in deep overparameterized low-rank learning & adaptation.
ICML 2024, arXiv:2406.04112.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.maths.dynamics.descent import Rule, descend, products
from lowrank_kit.maths.dynamics.objective import Objective

__all__ = ["Blocks", "Twin", "blocks", "gap", "moving_directions", "resting_values", "twin"]


@dataclass(frozen=True, eq=False)
class Blocks:
    """Orthogonal U_l and V_l (d, d) for every layer, fixed for all time, in which W_l(t) is two blocks.

    U_l^T W_l(t) V_l holds any (2r, 2r) block and rho_l(t) times the identity on the d - 2r directions behind it.
    """

    U: tuple[np.ndarray, ...]
    V: tuple[np.ndarray, ...]
    n_moving: int

    def resting(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """U_{l,2} and V_{l,2} (d, d - 2r)."""
        return self.U[layer][:, self.n_moving :], self.V[layer][:, self.n_moving :]


def moving_directions(weights: Sequence[np.ndarray], source: np.ndarray, rank: int) -> np.ndarray:
    """V_{1,1} (d, 2r): the inputs through which the first weight moves.

    They span the leading right singular vectors of the source, and what the product at the start makes of the left
    ones. Raises InputError where 2r directions are all there are.
    """
    d = source.shape[1]
    if not 1 <= rank <= min(source.shape):
        raise InputError(f"`rank` must be between 1 and {min(source.shape)} for a target {source.shape}; got {rank}.")
    if 2 * rank >= d:
        raise InputError(
            f"`rank` must be below d / 2 = {d / 2:g}, so that 2r of {d} directions leave some over; got {rank}. "
            "Choose a wider network or a target of lower rank."
        )
    U, _, Vh = np.linalg.svd(source, full_matrices=False)
    back = products(weights)[-1].T @ U[:, :rank]
    return np.linalg.qr(np.concatenate([Vh[:rank].T, back / np.linalg.norm(back, 2)], axis=1))[0]


def blocks(weights: Sequence[np.ndarray], target: np.ndarray, rank: int) -> Blocks:
    """The blocks of square layers that begin as multiples of orthogonal matrices (Theorem 2.1's construction)."""
    moving = moving_directions(weights, target, rank)
    V = np.linalg.qr(moving, mode="complete")[0]
    found = [np.concatenate([moving, V[:, 2 * rank :]], axis=1)]
    for weight in weights:
        found.append(weight @ found[-1] / (np.linalg.norm(weight) / np.sqrt(len(weight))))
    return Blocks(tuple(found[1:]), tuple(found[:-1]), 2 * rank)


def resting_values(scales: Sequence[float], rule: Rule, steps: int, *, scale: float = 1.0) -> np.ndarray:
    """rho_l(t) (steps + 1, L): what the resting directions of every layer are multiplied with.

    rho_l(t + 1) = rho_l(t) (1 - rate (decay + product of all other rho_k(t)^2)): a network of single numbers that
    learns 0. `scales` are what the layers begin with, 0 for a last layer whose outputs are all needed by the target;
    `scale` is the objective's. Not for Adam, whose every entry has a pace of its own: it raises InputError.
    """
    if rule.kind == "adam":
        raise InputError("`rule` must be plain descent or momentum; Adam keeps no direction at rest.")
    numbers = [np.array([[value]]) for value in scales]
    path = descend(numbers, Objective(np.zeros((1, 1)), scale=scale), rule)
    return np.array([[weight[0, 0] for weight in own] for own, _ in islice(path, steps + 1)])


def gap(resting: np.ndarray, n_resting: int) -> np.ndarray:
    """||W_{L:1} - its twin||_F over time (T,), from rho (T, L): sqrt(d - 2r) times the product of all rho_l."""
    return np.sqrt(n_resting) * np.abs(np.prod(resting, axis=1))


@dataclass(frozen=True, eq=False)
class Twin:
    """A narrow network that moves as the wide one does: left (K, k), L cores, right (k, d).

    With frozen outer factors only the cores learn, from an objective as small as they are; otherwise the outer factors
    learn too, at a share of the learning rate.
    """

    left: np.ndarray
    cores: tuple[np.ndarray, ...]
    right: np.ndarray

    @property
    def n_params(self) -> int:
        return sum(part.size for part in self.weights)

    @property
    def weights(self) -> list[np.ndarray]:
        """The outer factors and the cores as one network, the first layer first."""
        return [self.right, *self.cores, self.left]

    def rates(self, share: float) -> list[float]:
        """Of the learning rate for each of `weights`."""
        return [share, *[1.0] * len(self.cores), share]

    def inner(self, objective: Objective) -> Objective:
        """What the cores alone have to learn while the outer factors rest: the projected target.

        Raises InputError for a mask, which cannot be projected.
        """
        if objective.seen is not None:
            raise InputError("`objective` must be seen in full to be projected; with a mask, train the twin's weights.")
        C, T = objective.covariance, objective.target
        if C is None:
            target, covariance = self.left.T @ T @ self.right.T, None
        else:
            covariance = self.right @ C @ self.right.T
            target = np.linalg.solve(covariance, self.right @ C @ T.T @ self.left).T
        # The error that no cores can mend: of the target as the outer factors can show it.
        best = self.left @ target @ self.right
        return Objective(target, covariance, None, objective.scale, objective.loss(best))


def twin(weights: Sequence[np.ndarray], objective: Objective, rank: int) -> Twin:
    """The twin of a wide network (weights at the start) for a target of this rank, or of an upper guess of it.

    After the source of the first gradients: exact where everything is seen, inputs are whitened and layers begin as
    multiples of orthogonal matrices (the last one semi-orthogonal where outputs are fewer, and `rank` their number);
    an approximation elsewhere. Where the outputs are fewer than 2 `rank`, all of them are kept.
    """
    right = moving_directions(weights, objective.source, rank)
    sizes = [float(np.linalg.norm(weight)) / np.sqrt(min(weight.shape)) for weight in weights]
    inner = [size * np.eye(right.shape[1]) for size in sizes]
    image = products(weights)[-1] @ right
    if len(image) < right.shape[1]:
        inner[-1] = image / np.prod(sizes[:-1])
        return Twin(np.eye(len(image)), tuple(inner), right.T)
    return Twin(np.linalg.qr(image)[0] * _signs(image), tuple(inner), right.T)


def _signs(image: np.ndarray) -> np.ndarray:
    """Of QR's columns, so that they point as the columns they are made from."""
    return np.where(np.diag(np.linalg.qr(image)[1]) < 0, -1.0, 1.0)
