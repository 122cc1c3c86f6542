"""A rank-adaptive training that fails or is interrupted is as if that had never been."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.methods.adaptive import Adaptation
from lowrank_kit.methods.training import Failure
from lowrank_kit.models.factored import Factored
from tests.methods.adaptive_trainings import OPTIMISERS, SGD, go_on, net, orthonormality, trained
from tests.methods.states import assert_same, state_of


class Sick(nn.Module):
    """A network that is not well at one of its passes; inputs (n, 3, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.body, self.passes, self.sick, self.how = net(), 0, (), "loss"

    def forward(self, x):
        self.passes += 1
        y = self.body(x)
        if self.passes not in self.sick:
            return y
        return y * float("nan") if self.how == "loss" else y + (0 * y).sqrt()


def everything(training):
    """All that a training is, but for its failures and random numbers."""
    rows = {"rows": torch.tensor(len(training.rows))}
    return state_of(training, "steps", "position", "truncations") | rows


def sick(at, how, optimiser=SGD):
    """After a cycle of three steps, so that passes 5 and 6 to 8 are those of the second."""
    training = trained(3, optimiser, Adaptation(0.2, local_steps=3), Sick(), keep=["body.conv1", "body.head"])
    assert training.model.passes == 4 and training.position == 0
    training.model.sick, training.model.how = at, how
    return training


HOW = {"loss": "the loss is nan", "gradient": "a gradient is not finite"}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("optimiser", [SGD, OPTIMISERS["Adam"]], ids=["SGD", "Adam"])
@pytest.mark.parametrize("which", [0, 1, 2, 3], ids=["bases", "first step", "second step", "last step"])
def test_a_step_that_is_not_finite_is_undone_to_where_its_cycle_began(how, which, optimiser):
    training, twin = sick((5 + which,), how, optimiser), sick((), how, optimiser)
    before = everything(training)
    losses = go_on(training, max(which, 1))
    assert np.isnan(losses[-1]) and np.isfinite(losses[:-1]).all()
    assert_same(everything(training), before)
    assert training.failures == [Failure(max(which, 1) + 2, HOW[how])]
    # It goes on as if nothing had been.
    assert go_on(training, 4) == go_on(twin, 4)
    assert_same(everything(training), everything(twin))


@pytest.mark.parametrize("how", HOW)
def test_three_failures_in_a_row_are_told_with_the_state_from_before(how):
    training = sick(range(5, 99), how)
    before = everything(training)
    with pytest.raises(InputError, match=rf"at step 3 {HOW[how]}, 3 times in a row\. What these steps did is undone"):
        go_on(training, 5)
    assert_same(everything(training), before)
    assert len(training.failures) == 3 and orthonormality(training) < 1e-12
    training.model.sick = ()
    assert np.isfinite(go_on(training, 6)).all()


def test_rows_of_steps_that_were_undone_are_gone_with_them():
    training = sick((7,), "loss")
    go_on(training, 1)
    training.record(accuracy=0.9)
    assert training.trajectory.steps.tolist() == [3, 4]
    go_on(training, 1)
    assert training.trajectory.steps.tolist() == [3] and training.steps == 3
    go_on(training, 3)
    assert training.trajectory.steps.tolist() == [3, 6]


@pytest.mark.parametrize("where", ["bases", "augment", "backward", "step", "truncate"])
@pytest.mark.parametrize("fault", [KeyboardInterrupt(), RuntimeError("out of memory")], ids=["Ctrl-C", "error"])
def test_a_step_that_was_interrupted_has_not_been(where, fault, monkeypatch):
    training, twin = trained(3), trained(3)
    steps = 2 if where == "truncate" else 0
    go_on(training, steps), go_on(twin, steps)
    before, calls = everything(training), []

    def stopping(do):
        def stop(*args, **kwargs):
            result = do(*args, **kwargs)
            calls.append(where)
            if len(calls) == (2 if where in ("augment", "truncate") else 1):  # half of the layers are done
                raise fault
            return result

        return stop

    places = {
        "bases": (torch.autograd, "grad"),
        "augment": (Factored, "augment"),
        "backward": (torch.Tensor, "backward"),
        "step": (training.optimiser, "step"),
        "truncate": (Factored, "truncate"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*places[where], stopping(getattr(*places[where])))
        with pytest.raises(type(fault)):
            go_on(training, 1)
    assert_same(everything(training), before)
    assert go_on(training, 7) == go_on(twin, 7)
    assert_same(everything(training), everything(twin))
