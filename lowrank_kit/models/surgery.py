"""Replacing layers by their factors, and saying what became of each."""

import copy
from functools import cached_property

import numpy as np
import torch
from torch import nn

from lowrank_kit.checks import InputError, check_finite, check_name, check_rank
from lowrank_kit.maths.matrix import factors, singular_values
from lowrank_kit.models.inventory import factorable_layers, head_of, inventory, weights_hash
from lowrank_kit.models.layers import Factorable, as_matrix, factorised, matrix_shape
from lowrank_kit.records import Factors, LayerReport, RankPlan, Spectrum, Survey, break_even_rank, factor_params

__all__ = ["Factorisation", "compress", "spectra", "survey"]


def spectra(model: nn.Module) -> dict[str, Spectrum]:
    """{layer: Spectrum} of every layer the kit can factorise, in order. Raises InputError on NaN or infinite weights.

    >>> spectra(nn.Sequential(nn.Linear(4, 3), nn.ReLU()))["0"].shape
    (3, 4)
    """
    found = {}
    for name, layer in factorable_layers(model).items():
        matrix = _finite_matrix(name, layer)
        found[name] = Spectrum(singular_values(matrix), matrix.shape, name)
    return found


def compress(model: nn.Module, plan: RankPlan, *, break_even_guard: bool = True) -> nn.Module:
    """A copy of the model with the plan's layers in two factors; the given model is left untouched.

    The result is made of plain nn.Linear and nn.Conv2d. With the guard on, a layer whose rank would not make it
    smaller stays dense. Raises InputError where the plan was made for other weights, names a layer that the model
    does not have or asks for a rank that the layer does not have.
    """
    return Factorisation(model).compress(plan, break_even_guard=break_even_guard)


def survey(model: nn.Module, plan: RankPlan, *, break_even_guard: bool = True) -> Survey:
    """What `compress` does to every layer - compressed, left dense, refused - and why."""
    return Factorisation(model).survey(plan, break_even_guard=break_even_guard)


class Factorisation:
    """A model beside the factors of its layers: one decomposition each, made when first needed, serves every rank."""

    def __init__(self, model: nn.Module):
        self.model = model
        self.layers = factorable_layers(model)
        self._factors: dict[str, Factors] = {}

    @cached_property
    def weights(self) -> str:
        return weights_hash(self.model)

    def factors(self, layer: str) -> Factors:
        """The full factors of one layer in its own precision. Raises InputError on NaN or infinite weights."""
        check_name(layer, self.layers, name="layer")
        if layer not in self._factors:
            matrix = _finite_matrix(layer, self.layers[layer])
            full = factors(matrix)
            self._factors[layer] = Factors(*(part.astype(matrix.dtype) for part in (full.U, full.S, full.Vh)))
        return self._factors[layer]

    def compress(self, plan: RankPlan, *, break_even_guard: bool = True) -> nn.Module:
        self._check(plan)
        # deepcopy takes a replaced layer from its memo wherever it is referred to, and copies the rest.
        memo = {
            id(self.layers[name]): factorised(self.layers[name], self.factors(name).truncate(rank))
            for name, rank in plan.ranks.items()
            if not break_even_guard or rank <= break_even_rank(matrix_shape(self.layers[name]))
        }
        return copy.deepcopy(self.model, memo)

    def survey(self, plan: RankPlan, *, break_even_guard: bool = True) -> Survey:
        self._check(plan)
        modules, head = dict(self.model.named_modules()), head_of(self.model)
        reports = []
        for name, refusal in inventory(self.model).items():
            layer, rank = modules[name], plan.ranks.get(name)
            n_params = sum(p.numel() for p in layer.parameters())
            if refusal is not None:
                reports.append(LayerReport(name, _kind(layer), "refused", refusal, n_params, n_params))
            elif reason := _stays_dense(matrix_shape(layer), rank, is_head=name == head, guard=break_even_guard):
                reports.append(LayerReport(name, _kind(layer), "dense", reason, n_params, n_params))
            elif rank is not None:
                after = n_params - layer.weight.numel() + factor_params(rank, matrix_shape(layer))
                share = f"{after / n_params:.0%} of its parameters remain"
                reports.append(LayerReport(name, _kind(layer), "compressed", share, n_params, after, rank))
        return Survey(tuple(reports))

    def _check(self, plan: RankPlan) -> None:
        for name, rank in plan.ranks.items():
            check_name(name, self.layers, name="layer")
            check_rank(rank, matrix_shape(self.layers[name]), name=f"rank of {name}")
        if plan.weights != self.weights:
            raise InputError(
                f"`plan` must be made for this model's weights, {self.weights[:15]}...; it was made for "
                f"{plan.weights[:15]}.... Plan again with this model."
            )


def _stays_dense(shape: tuple[int, int], rank: int | None, *, is_head: bool, guard: bool) -> str:
    """The reason why a layer stays dense; empty where it is compressed."""
    if rank is None:
        return "classifier head, left out of the plan" if is_head else "not in the plan"
    limit = break_even_rank(shape)
    return f"rank {rank} saves nothing: factors are smaller up to rank {limit}" if guard and rank > limit else ""


def _finite_matrix(name: str, layer: Factorable) -> np.ndarray:
    matrix = as_matrix(layer)
    check_finite(matrix, name=f"{name}.weight")
    return matrix


def _kind(layer: nn.Module) -> str:
    weight = getattr(layer, "weight", None)
    shape = " x ".join(map(str, weight.shape)) if isinstance(weight, torch.Tensor) else ""
    return f"{type(layer).__name__} {shape}".strip()
