"""How a pass is prepared: warmed up, compiled, or refused in one sentence."""

import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement import passes
from lowrank_kit.measurement.passes import WARM_UP, prepared
from lowrank_kit.records import MODES


class Counting(nn.Module):
    def __init__(self, fault=None):
        super().__init__()
        self.runs, self.fault = 0, fault

    def forward(self, x):
        self.runs += 1
        if self.fault:
            raise self.fault
        return x


def test_every_mode_has_its_preparation():
    assert set(passes.PREPARATIONS) == set(MODES)


def test_an_eager_pass_is_warmed_up_and_needs_no_setup():
    model, x = Counting(), torch.ones(2)
    run, setup_s = prepared(model, x, "eager")
    assert (model.runs, setup_s) == (WARM_UP, 0.0)
    assert run() is x


def test_a_compiled_pass_is_made_for_these_inputs_and_its_setup_is_timed(monkeypatch):
    asked = []

    def compile(model, **options):
        asked.append(options)
        return model

    monkeypatch.setattr(torch, "compile", compile)
    model, x = Counting(), torch.ones(2)
    run, setup_s = prepared(model, x, "compiled")
    assert (asked, model.runs) == ([{"dynamic": False}], 1 + WARM_UP)
    assert setup_s > 0
    assert run() is x


def test_a_compiler_that_fails_is_one_sentence(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    with pytest.raises(InputError, match=r"`mode=.compiled.` failed on this machine: no compiler found$"):
        prepared(Counting(RuntimeError("no compiler found\nand so on")), torch.ones(2), "compiled")


@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_a_batch_that_does_not_fit(monkeypatch, mode):
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    fault = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(InputError, match="a batch of 7 does not fit into the memory of cpu; give a smaller `batch`"):
        prepared(Counting(fault), torch.ones(7, 2), mode)


def test_a_graph_needs_a_cuda_device():
    with pytest.raises(InputError, match=r"`mode=.graph.` needs a CUDA device; the model is on cpu"):
        prepared(Counting(), torch.ones(2), "graph")


def test_an_unknown_mode():
    with pytest.raises(InputError, match=r"`mode` must be one of 'eager', 'graph', 'compiled'; got 'eagre'. Did you"):
        prepared(Counting(), torch.ones(2), "eagre")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graph_computes_what_the_model_does():
    model, x = nn.Linear(8, 4).cuda(), torch.randn(3, 8, device="cuda")
    with torch.inference_mode():
        run, setup_s = prepared(model, x, "graph")
        run()
    assert setup_s > 0
