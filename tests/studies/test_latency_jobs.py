"""Jobs are told apart, come in order, and their variants are plans that can be made."""

from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from lowrank_kit.measurement.cost import macs
from lowrank_kit.models import vision
from lowrank_kit.records import METHODS, MODES, LayerPlan, LayerShape
from lowrank_kit.studies.catalogue import CATALOGUE, STAIRCASE, drawn_layers
from lowrank_kit.studies.latency_jobs import (
    FEW,
    FINE,
    FRACTIONS,
    JUDGED,
    MOST_MACS,
    NARROW,
    NETWORKS,
    SETTINGS,
    Job,
    Setting,
    Variant,
    forms_of,
    jobs,
    plan_at,
)

DEVICES = ("cpu", "cuda")
DRAWN = ("fitted", "held-out")
devices = pytest.mark.parametrize("device", DEVICES)


def planned(job):
    """(variant, plan) of all that is not dense."""
    return [(v, plan_at(job.layer.shape, v)) for v in job.variants if v.method not in ("dense", "narrow")]


def layer_jobs(device):
    return [job for job in jobs(device) if job.layer and job.network not in DRAWN]


def drawn_jobs(device, name):
    return [job for job in jobs(device) if job.network == name]


@devices
def test_no_job_comes_twice(device):
    found = [*jobs(device)]
    assert len({job.key for job in found}) == len(found)
    assert len({str(job) for job in found}) == len(found)
    assert found == [*jobs(device)]


@devices
def test_a_setting_has_what_is_drawn_then_networks_then_all_layers(device):
    first = SETTINGS[device][0]
    found = [j for j in jobs(device) if replace(j.setting, layout="", mode="") == replace(first, layout="", mode="")]
    first_of_all = found[: next(i for i, job in enumerate(found) if job.layer == CATALOGUE[-1]) + 1]
    kinds = [job.network if job.network in DRAWN else "layer" if job.layer else "network" for job in first_of_all]
    assert [kind for kind, _ in groupby(kinds)] == [*DRAWN, "network", "layer"]
    assert [job.layer for job in first_of_all if job.network not in DRAWN and job.layer] == [*CATALOGUE]


@devices
def test_every_kernel_of_the_layers_fitted_on_is_timed_alone(device):
    kernels = {k for layer in drawn_layers("fitted") for v in some_variants(layer) for k in forms_of(layer.shape, v)}
    for batch in JUDGED:
        found = [job for job in drawn_jobs(device, "fitted") if job.setting.batch == batch]
        assert {job.layer.shape for job in found} == kernels
        assert all(job.variants == (Variant(),) for job in found)


@devices
def test_layers_held_out_are_timed_as_they_are_used(device):
    found = drawn_jobs(device, "held-out")
    assert {job.layer for job in found} == {*drawn_layers("held-out")}
    assert all(set(job.variants) == {*some_variants(job.layer)} for job in found)
    assert {job.setting.batch for job in found} == {*JUDGED}


def some_variants(layer):
    return [Variant(), *(Variant(method, fraction) for method in layer.shape.methods for fraction in FEW)]


def test_no_layer_held_out_is_fitted_on():
    fitted, held_out = ({layer.shape for layer in drawn_layers(name)} for name in DRAWN)
    assert len(fitted) == len(held_out) == 20
    assert not fitted & held_out


@devices
def test_settings_come_one_behind_the_other(device):
    """Layers without a layout are told of in the first setting that differs in nothing else."""
    order = [(setting.batch, setting.dtype, setting.precision) for setting in SETTINGS[device]]
    found = [(j.setting.batch, j.setting.dtype, j.setting.precision) for j in jobs(device)]
    assert [key for key, _ in groupby(found)] == [key for key, _ in groupby(order)]


@devices
def test_settings_are_what_timings_know(device):
    for setting in SETTINGS[device]:
        assert setting.mode in MODES
        assert setting.layout in ("contiguous", "channels_last")
        assert setting.dtype in (("float32", "bfloat16", "int8") if device == "cpu" else ("float32", "bfloat16"))
        assert setting.precision in (("ieee",) if device == "cpu" or setting.dtype == "bfloat16" else ("ieee", "tf32"))
        assert device == "cuda" or setting.mode != "graph"


def test_a_processor_gets_nothing_that_takes_it_long():
    found = [*jobs("cpu")]
    work = [j.setting.batch * (j.layer.shape.macs if j.layer else NETWORKS[j.network]) for j in found]
    assert max(work) <= MOST_MACS["cpu"]
    assert max(work) > MOST_MACS["cpu"] / 2, "more could be asked of it"
    assert {j.setting.batch for j in found} == {1, 32, 256}


def test_a_device_gets_every_layer_in_every_setting():
    asked = {(setting.batch, setting.dtype, setting.mode, setting.precision) for setting in SETTINGS["cuda"]}
    found = {}
    for job in layer_jobs("cuda"):
        setting = job.setting
        found.setdefault(job.layer, set()).add((setting.batch, setting.dtype, setting.mode, setting.precision))
    assert set(found) == {*CATALOGUE}
    assert all(settings == asked for settings in found.values())


@devices
def test_a_linear_layer_has_no_layout_and_a_convolution_has_both(device):
    layouts = {}
    for job in layer_jobs(device):
        layouts.setdefault(job.layer.shape.is_linear, set()).add(job.setting.layout)
    assert layouts == {True: {"contiguous"}, False: {"contiguous", "channels_last"}}


@devices
def test_only_whole_networks_are_compiled(device):
    compiled = [job for job in jobs(device) if job.setting.mode == "compiled"]
    assert {job.network for job in compiled} == {*NETWORKS}
    assert all(job.layer is None for job in compiled)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_networks_multiply_adds_are_those_that_are_counted(network):
    model = getattr(vision, network.removesuffix("-32"))()
    assert macs(model, np.zeros((1, 3, 32, 32), np.float32)) == NETWORKS[network]


@devices
def test_the_dense_layer_comes_first_and_no_variant_twice(device):
    for job in jobs(device):
        assert job.variants[0] == Variant("dense", 1.0)
        assert [v.method for v in job.variants].count("dense") == 1
        assert len(set(job.variants)) == len(job.variants)


@devices
def test_every_method_that_suits_is_timed_at_all_fractions(device):
    for job in (job for job in layer_jobs(device) if job.setting.dtype != "int8"):
        for method in job.layer.shape.methods:
            assert {v.fraction for v in job.variants if v.method == method} >= set(FRACTIONS)
        assert {v.fraction for v in job.variants if v.method == "narrow"} == set(NARROW)
        assert {v.method for v in job.variants} == {"dense", "narrow", *job.layer.shape.methods}


def test_layers_in_int8_are_dense():
    found = [job for job in jobs("cpu") if job.setting.dtype == "int8"]
    assert {job.layer for job in found} == {*CATALOGUE}
    assert all(job.variants == (Variant(),) for job in found)


def test_a_narrow_layer_has_about_its_share_of_the_multiply_adds():
    for layer in CATALOGUE:
        for share in NARROW:
            (narrow,) = forms_of(layer.shape, Variant("narrow", share))
            few = min(layer.shape.outputs, layer.shape.inputs) < 16
            assert narrow.macs / layer.shape.macs == pytest.approx(share, rel=0.5 if few else 0.05)


def test_every_variant_is_a_plan_below_the_full_ranks():
    for job in layer_jobs("cuda"):
        for variant, plan in planned(job):
            full = job.layer.shape.full_ranks(variant.method)
            assert plan.method == variant.method
            assert all(1 <= rank <= most for rank, most in zip(plan.ranks, full, strict=True)), (job, plan)
            assert job.layer.shape.factorised(plan)


def test_the_staircase_is_timed_at_every_rank_around_its_middle_and_at_every_eighth():
    (job,) = (j for j in layer_jobs("cuda") if j.layer == STAIRCASE and j.setting == SETTINGS["cuda"][0])
    ranks = [plan.rank for variant, plan in planned(job) if variant.method == "svd"]
    assert len(set(ranks)) == len(ranks)
    assert set(ranks) == {*range(8, 256, 8), *FINE}
    others = [j for j in layer_jobs("cuda") if j.layer != STAIRCASE]
    assert max(len(j.variants) for j in others) == 1 + 3 * len(FRACTIONS) + len(NARROW)


@pytest.mark.parametrize(
    ("shape", "variant", "plan"),
    [
        (LayerShape(64, 32), Variant("svd", 0.25), LayerPlan(8)),
        (LayerShape(64, 30), Variant("svd", 0.24), LayerPlan(7)),
        (LayerShape(64, 32), Variant("svd", 0.001), LayerPlan(1)),
        (LayerShape(64, 32), Variant("svd"), LayerPlan(32)),
        (LayerShape(64, 32, (3, 3), (8, 8), (8, 8)), Variant("svd", 0.5), LayerPlan(32)),
        (LayerShape(64, 32, (3, 3), (8, 8), (8, 8)), Variant("spatial", 0.5), LayerPlan(48, "spatial")),
        (LayerShape(64, 32, (3, 3), (8, 8), (8, 8)), Variant("tucker", 0.125), LayerPlan((8, 4), "tucker")),
        (LayerShape(64, 32, (3, 3), (8, 8), (8, 8), 4), Variant("svd", 0.5), LayerPlan(8)),
    ],
)
def test_a_fraction_is_of_the_full_ranks(shape, variant, plan):
    assert plan_at(shape, variant) == plan


def test_ranks_are_the_nearest_to_their_fraction():
    for layer in CATALOGUE:
        for method in layer.shape.methods:
            for fraction in FRACTIONS:
                ranks = plan_at(layer.shape, Variant(method, fraction)).ranks
                for rank, full in zip(ranks, layer.shape.full_ranks(method), strict=True):
                    assert abs(rank - max(fraction * full, 1)) <= 0.5
    assert {"svd", "tucker", "spatial"} < set(METHODS)


def test_a_job_reads_as_what_tells_it_from_others():
    setting = Setting(32, "float32", "contiguous", "eager", "tf32")
    assert str(Job("resnet50", STAIRCASE, setting, ())) == "resnet50 layer3.1.conv2 32 float32 tf32 contiguous eager"
    assert str(Job("vgg16-32", None, setting, ())) == "vgg16-32 32 float32 tf32 contiguous eager"
