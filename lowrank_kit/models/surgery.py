"""Replacing layers by their factors, and saying what became of each."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from torch import nn

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.maths.tensor import refine
from lowrank_kit.models.blocks import check_plan, empty_block, saves
from lowrank_kit.models.calibration import output_moments
from lowrank_kit.models.decomposition import (
    Decomposition,
    TuckerDecomposition,
    decompose,
    decompose_aware,
    decompose_modes,
    spectrum,
)
from lowrank_kit.models.inventory import Site, factorable_layers, head_of, inventory, layers_of, weights_hash
from lowrank_kit.models.layers import Factorable
from lowrank_kit.models.low_rank import LowRank, filled, methods_for
from lowrank_kit.models.replacement import replaced
from lowrank_kit.models.reports import report
from lowrank_kit.models.tucker import Tucker, as_tensor, filled_tucker
from lowrank_kit.records import (
    Data,
    Examples,
    Factors,
    LayerPlan,
    RankPlan,
    Spectrum,
    Survey,
    TuckerFactors,
)

__all__ = ["Factorisation", "compress", "spectra", "survey", "with_empty_blocks"]

# Directions settle long before accuracies do.
CALIBRATION_EXAMPLES = 500
# After two sweeps from the HOSVD the error is within half a percent of where it ends.
SWEEPS = 2


def spectra(model: nn.Module) -> dict[str, Spectrum]:
    """{layer: Spectrum} of every layer the kit can factorise, in order. Raises InputError on NaN or infinite weights.

    >>> spectra(nn.Sequential(nn.Linear(4, 3), nn.ReLU()))["0"].shape
    (3, 4)
    """
    return {name: spectrum(name, layer) for name, layer in factorable_layers(model).items()}


def compress(
    model: nn.Module, plan: RankPlan, *, data: Data | Examples | None = None, break_even_guard: bool = True
) -> nn.Module:
    """A copy of the model with the plan's layers in factors; the given model is left untouched.

    Each becomes a :class:`lowrank_kit.models.low_rank.LowRank`, two plain layers one behind the other, or by the method
    "tucker" a :class:`lowrank_kit.models.tucker.Tucker` of three. `data` is what
    layers of the method "aware" are fitted to: training examples where there are any, never test examples. With the
    guard on, a layer whose rank would not make it smaller stays dense. Raises InputError where the plan was made for
    other weights, or names a layer, a method or a rank that the model does not have.
    """
    return Factorisation(model, data).compress(plan, break_even_guard=break_even_guard)


def survey(model: nn.Module, plan: RankPlan, *, break_even_guard: bool = True) -> Survey:
    """What `compress` does to every layer - compressed, left dense, refused - and why."""
    return Factorisation(model).survey(plan, break_even_guard=break_even_guard)


def with_empty_blocks(model: nn.Module, plans: Mapping[str, LayerPlan], *, shared: bool = False) -> nn.Module:
    """What `compress` makes, less the values: all factors are zero. `shared` as in :func:`replaced`."""
    sites = inventory(model)
    layers = layers_of(sites)
    _check(plans, layers)
    blocks = {name: empty_block(layers[name], plan) for name, plan in plans.items()}
    return replaced(model, {**blocks, **_twins(blocks, plans, sites)}, shared=shared)


class Factorisation:
    """A model beside the factors of its layers: one decomposition each, made when first needed, serves every rank.

    `data` is needed for the method "aware" only.
    """

    def __init__(self, model: nn.Module, data: Data | Examples | None = None):
        self.model = model
        self.sites = inventory(model)
        self.layers = layers_of(self.sites)
        self.data = data
        # Now, not when first asked: the model may be trained between this and then.
        self.weights = weights_hash(model)
        self._found: dict[tuple[str, str], Decomposition] = {}
        self._modes: dict[str, TuckerDecomposition] = {}

    def factors(self, layer: str, method: str = "svd") -> tuple[Factors, ...]:
        """The full factors of one layer, one for each group, in its own precision.

        Raises InputError on NaN or infinite weights, and for the method "aware" where there are no data.
        """
        return self._decomposed(layer, method)[0]

    def spectrum(self, layer: str, method: str = "svd") -> Spectrum:
        """The singular values of one layer; for "aware", those of what it puts out on the data."""
        return self._decomposed(layer, method)[1]

    def modes(self, layer: str) -> tuple[TuckerFactors, tuple[Spectrum, Spectrum]]:
        """The full HOSVD of a convolution over outputs and inputs, and the spectra of both unfoldings.

        Every pair of ranks is a slice of it. Raises InputError on NaN or infinite weights, and for a layer that has no
        such modes.
        """
        check_name(layer, self.layers, name="layer")
        if layer not in self._modes:
            check_name("tucker", methods_for(self.layers[layer]), name=f"method of {layer}")
            self._modes[layer] = decompose_modes(layer, self.layers[layer])
        return self._modes[layer]

    def block(self, layer: str, plan: LayerPlan) -> LowRank:
        """One layer in factors of the planned rank; those of "tucker" are refined from the HOSVD."""
        empty = empty_block(self.layers[layer], plan)
        if isinstance(empty, Tucker):
            return filled_tucker(empty, self.refined(layer, plan.ranks))
        return filled(empty, [part.truncate(plan.ranks[0]) for part in self.factors(layer, plan.method)])

    def refined(self, layer: str, ranks: Sequence[int]) -> TuckerFactors:
        """Tucker factors of these ranks after two sweeps of HOOI, warm from the HOSVD."""
        start = self.modes(layer)[0].truncate(ranks)
        return refine(as_tensor(self.layers[layer]), start, sweeps=SWEEPS)

    def compress(self, plan: RankPlan, *, break_even_guard: bool = True) -> nn.Module:
        """As :func:`compress`."""
        self._check(plan)
        blocks = {
            name: self.block(name, layer)
            for name, layer in plan.layers.items()
            if not break_even_guard or saves(self.layers[name], layer)
        }
        return replaced(self.model, {**blocks, **_twins(blocks, plan.layers, self.sites)})

    def survey(self, plan: RankPlan, *, break_even_guard: bool = True) -> Survey:
        """As :func:`survey`."""
        self._check(plan)
        head, guard = head_of(self.model), break_even_guard
        planned = {name: plan.layers.get(site.twin_of or name) for name, site in self.sites.items()}
        found = (report(site, planned[n], is_head=n == head, guard=guard) for n, site in self.sites.items())
        return Survey(tuple(found))

    def _check(self, plan: RankPlan) -> None:
        _check(plan.layers, self.layers)
        if weights_hash(self.model) != self.weights:
            raise InputError("the model's weights have changed since they were factorised; make a new Factorisation.")
        if plan.weights != self.weights:
            raise InputError(
                f"`plan` must be made for this model's weights, {self.weights[:15]}...; it was made for "
                f"{plan.weights[:15]}.... Plan again with this model."
            )

    def _decomposed(self, name: str, method: str) -> Decomposition:
        check_name(name, self.layers, name="layer")
        one_rank = [known for known in methods_for(self.layers[name]) if known != "tucker"]  # which has `modes`
        check_name(method, one_rank, name=f"method of {name}")
        if (name, method) not in self._found:
            aware = method == "aware"
            found = self._aware(name) if aware else decompose(name, self.layers[name], method)
            self._found[name, method] = found
        return self._found[name, method]

    def _aware(self, name: str) -> Decomposition:
        return decompose_aware(name, self.layers[name], self._moments[name])

    @cached_property
    def _moments(self) -> dict[str, np.ndarray]:
        if self.data is None:
            raise InputError('`data` must come with the method "aware": examples to see what the layers put out.')
        given = (self.data.train or self.data.validation) if isinstance(self.data, Data) else self.data
        few = given if len(given) <= CALIBRATION_EXAMPLES else given.stratified(CALIBRATION_EXAMPLES)[0]
        return output_moments(self.model, self.layers, few.x)


def _check(plans: Mapping[str, LayerPlan], layers: Mapping[str, Factorable]) -> None:
    for name, plan in plans.items():
        check_name(name, layers, name="layer")
        check_plan(name, layers[name], plan)


def _twins(
    blocks: Mapping[str, LowRank], plans: Mapping[str, LayerPlan], sites: Mapping[str, Site]
) -> dict[str, LowRank]:
    """For each layer that shares its weight with one of the blocks, a block on the same factors with its own bias."""
    found = {}
    for name, site in sites.items():
        if site.twin_of in blocks and site.layer is not None:
            found[name] = empty_block(site.layer, plans[site.twin_of])
            for ours, theirs in zip(found[name], blocks[site.twin_of], strict=True):
                ours.weight = theirs.weight
    return found
