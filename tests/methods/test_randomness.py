"""Random numbers go on from where they stood."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lowrank_kit.methods.randomness import random_state, set_random_state


def loader(generator=None):
    return DataLoader(TensorDataset(torch.arange(12)), batch_size=4, shuffle=True, generator=generator)


def order(batches):
    return [int(i) for (batch,) in batches for i in batch]


def test_numbers_are_drawn_again():
    state = random_state()
    first = torch.rand(5)
    assert not torch.equal(torch.rand(5), first)
    set_random_state(state)
    assert torch.equal(torch.rand(5), first)


def test_looking_draws_nothing():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    random_state(loader(torch.Generator()))
    assert torch.equal(torch.rand(3), expected)


def test_what_was_taken_stays_as_it_is_while_numbers_are_drawn():
    state = random_state()
    before = state["cpu"].clone()
    torch.rand(1000)
    assert torch.equal(state["cpu"], before)


@pytest.mark.parametrize("own", [True, False], ids=["own generator", "the common one"])
def test_an_order_is_drawn_again(own):
    batches = loader(torch.Generator().manual_seed(3) if own else None)
    state = random_state(batches)
    assert ("batches" in state) is own
    first = order(batches)
    assert order(batches) != first
    set_random_state(state, batches)
    assert order(batches) == first


def test_batches_without_a_generator_of_their_own_are_left_alone():
    state = random_state(loader(torch.Generator().manual_seed(3)))
    for batches in (None, [], loader()):
        set_random_state(state, batches)
    generator = torch.Generator().manual_seed(7)
    before = generator.get_state()
    set_random_state(random_state(), loader(generator))
    assert torch.equal(generator.get_state(), before)


def test_a_device_that_is_not_here_is_left_out():
    state = {**random_state(), "cuda-99": torch.zeros(16, dtype=torch.uint8)}
    torch.rand(3)
    set_random_state(state)
    assert torch.equal(torch.get_rng_state(), state["cpu"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_numbers_of_a_device_are_drawn_again():
    state = random_state()
    first = torch.rand(5, device="cuda")
    set_random_state(state)
    assert torch.equal(torch.rand(5, device="cuda"), first)
