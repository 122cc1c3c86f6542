"""A training that was stopped or interrupted goes on as if it had never been."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.training import Training, one_cycle
from tests.methods.plain_trainings import SGD, batches, examples, network, optimisers, state
from tests.methods.states import assert_same


def loader(own=True):
    generator = torch.Generator().manual_seed(3) if own else None
    return DataLoader(TensorDataset(*examples()), batch_size=8, shuffle=True, generator=generator)


def whole_run(kind, optimiser):
    """The losses of three epochs in one go, and where they end."""
    training = Training(network(), optimiser, schedule=one_cycle)
    torch.manual_seed(11)
    return [*training.run(BATCHES[kind](), 3)], state(training)


BATCHES = {
    "list": batches,
    "loader": loader,
    "loader on the common generator": lambda: loader(own=False),
    "batches of the kit": lambda: Batches(*examples(), size=8, seed=4),
}
kinds = pytest.mark.parametrize("kind", BATCHES)


@kinds
@optimisers
@pytest.mark.parametrize("stop", [1, 4, 5, 6, 12])
def test_a_run_that_was_stopped_goes_on_to_the_bit(kind, optimiser, stop):
    losses, end = whole_run(kind, optimiser)
    training, given = Training(network(), optimiser, schedule=one_cycle), BATCHES[kind]()
    torch.manual_seed(11)
    run = training.run(given, 3)
    found = [next(run) for _ in range(stop)]
    run.close()
    assert [*found, *training.run(given, 3)] == losses
    assert_same(state(training), end)


class Interrupting:
    """A loss that is interrupted once, at its n-th call."""

    def __init__(self, call, fault, after=False):
        self.call, self.fault, self.after = call, fault, after

    def __call__(self, outputs, y):
        self.call -= 1
        loss = F.cross_entropy(outputs, y)
        if self.call == 0 and self.after:
            loss.register_hook(self._stop)
        elif self.call == 0:
            raise self.fault
        return loss

    def _stop(self, gradient):
        raise self.fault


faults = pytest.mark.parametrize("fault", [KeyboardInterrupt(), RuntimeError("out of memory")], ids=["Ctrl-C", "error"])


@kinds
@optimisers
@faults
@pytest.mark.parametrize("call", [1, 4, 6])
def test_a_step_that_was_interrupted_has_not_been(kind, optimiser, fault, call):
    losses, end = whole_run(kind, optimiser)
    training, given = (
        Training(network(), optimiser, loss=Interrupting(call, fault), schedule=one_cycle),
        BATCHES[kind](),
    )
    torch.manual_seed(11)
    found = []
    with pytest.raises(type(fault)):
        for loss in training.run(given, 3):
            found.append(loss)
    assert training.steps == len(found) == call - 1 and training.failures == []
    assert [*found, *training.run(given, 3)] == losses
    assert_same(state(training), end)


@optimisers
def test_an_interruption_while_parameters_are_stepped_leaves_none_of_it(optimiser, monkeypatch):
    training, given = Training(network(), optimiser), batches()
    training.step(*given[0])
    before, step = state(training), training.optimiser.step

    def stop():
        step()
        raise KeyboardInterrupt

    monkeypatch.setattr(training.optimiser, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        training.step(*given[1])
    assert_same(state(training), before)
    assert all(p.grad is None for p in training.model.parameters())


def test_an_interrupted_backward_pass_leaves_nothing():
    training = Training(network(), SGD, loss=Interrupting(2, RuntimeError("out of memory"), after=True))
    training.step(*batches()[0])
    before = state(training)
    with pytest.raises(RuntimeError, match="out of memory"):
        training.step(*batches()[1])
    assert_same(state(training), before)


@kinds
def test_batches_that_break_off_can_be_gone_on_with(kind):
    losses, end = whole_run(kind, SGD)
    training = Training(network(), SGD, schedule=one_cycle)
    given = BATCHES[kind]()
    torch.manual_seed(11)
    found, run = [], training.run(given, 3)
    for loss in run:
        found.append(loss)
        if training.steps == 7:
            with pytest.raises(KeyboardInterrupt):
                run.throw(KeyboardInterrupt())
            break
    assert [*found, *training.run(given, 3)] == losses
    assert_same(state(training), end)


@pytest.mark.parametrize("own", [True, False])
def test_one_epoch_after_the_other_is_the_same_as_all_at_once(own):
    at_once, training = Training(network(), SGD), Training(network(), SGD)
    torch.manual_seed(11)
    losses, given = [*at_once.run(loader(own), 3)], loader(own)
    torch.manual_seed(11)
    assert [loss for epoch in (1, 2, 3) for loss in training.run(given, epoch)] == losses
    assert_same(dict(training.model.state_dict()), dict(at_once.model.state_dict()))
