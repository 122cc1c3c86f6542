"""Labelled inputs, split by what they may be used for."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowrank_kit.checks import InputError

__all__ = ["Data", "Examples"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs x (n, ...) as the model takes them, and labels y (n,) of whole numbers."""

    x: np.ndarray
    y: np.ndarray

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise InputError(f"`data` must hold one label an input; got {len(self.x)} inputs and {len(self.y)} labels.")
        if len(self.y) == 0:
            raise InputError("`data` must hold at least one example; got none.")
        if self.y.ndim != 1:
            raise InputError(
                f"`data` must hold one label an input, a class number; got labels of shape {self.y.shape}. "
                "One-hot labels become class numbers by y.argmax(1)."
            )

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: np.ndarray | slice) -> "Examples":
        return Examples(self.x[index], self.y[index])

    def stratified(self, n: int, *, seed: int = 0) -> tuple["Examples", "Examples"]:
        """Two parts, in the order they have here: n examples with the classes in their own shares, and the rest."""
        if not 0 < n < len(self):
            raise InputError(
                f"`n` must be between 1 and {len(self) - 1} to split {len(self)} examples in two; got {n}."
            )
        order = self.stratified_order(seed=seed)
        return self.take(np.sort(order[:n])), self.take(np.sort(order[n:]))

    def stratified_order(self, *, seed: int = 0) -> np.ndarray:
        """Indices (n,) with every class at even distances, shuffled within: any prefix is nearly stratified."""
        rng = np.random.default_rng(seed)
        position = np.empty(len(self))
        for label in np.unique(self.y):
            members = np.flatnonzero(self.y == label)
            position[rng.permutation(members)] = (np.arange(len(members)) + rng.random()) / len(members)
        return np.argsort(position, kind="stable")


@dataclass(frozen=True, eq=False)
class Data:
    """What a model is judged on: choices are made on `validation`, `test` is only reported."""

    name: str
    validation: Examples
    test: Examples
    train: Examples | None = None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the validation and test examples: tables belong to the data they were measured on."""
        digest = hashlib.sha256()
        for array in (self.validation.x, self.validation.y, self.test.x, self.test.y):
            digest.update(f"{array.dtype} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return f"sha256:{digest.hexdigest()}"

    def __repr__(self) -> str:
        sizes = [f"{len(self.validation)} validation", f"{len(self.test)} test"]
        if self.train is not None:
            sizes.insert(0, f"{len(self.train)} train")
        return f"Data({self.name}: {', '.join(sizes)})"
