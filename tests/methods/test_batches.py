"""Batches depend on seed, epoch and place alone."""

import pytest
import torch
from torch.testing import assert_close

from lowrank_kit.checks import InputError
from lowrank_kit.methods.batches import Batches
from lowrank_kit.records import Examples


def noisy(x, generator):
    return x + torch.randn(x.shape, generator=generator)


def batches(n=10, **options):
    return Batches(torch.arange(float(n))[:, None], torch.arange(n), **{"size": 4, **options})


def test_an_epoch_holds_every_example_once():
    found = list(batches().epoch(0))
    assert [len(y) for _, y in found] == [4, 4, 2] and len(batches()) == 3
    assert sorted(torch.cat([y for _, y in found]).tolist()) == list(range(10))
    for x, y in found:
        assert_close(x[:, 0], y.float())


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [torch.cat([y for _, y in batches(seed=s).epoch(e)]).tolist() for s, e in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order) for order in orders}) == 3


def test_an_epoch_goes_on_from_any_batch_as_if_it_had_never_stopped():
    whole = list(batches(prepare=noisy).epoch(2))
    for start in range(4):
        rest = list(batches(prepare=noisy).epoch(2, start=start))
        assert len(rest) == 3 - start
        for (x, y), (ours, theirs) in zip(rest, whole[start:], strict=True):
            assert torch.equal(x, ours) and torch.equal(y, theirs)


def test_nothing_is_drawn_from_the_callers_random_numbers():
    state = torch.get_rng_state()
    list(batches(prepare=noisy).epoch(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_examples_of_arrays():
    found = Batches.of(Examples(torch.ones(4, 2).numpy(), torch.arange(4).numpy()), size=2, seed=5)
    assert (found.size, found.seed, len(found)) == (2, 5, 2)


@pytest.mark.parametrize(("n", "sizes"), [(1, [1]), (4, [4]), (5, [5]), (6, [4, 2]), (9, [4, 5])])
def test_no_batch_is_left_with_a_single_example(n, sizes):
    found = batches(n)
    assert [len(y) for _, y in found.epoch(0)] == sizes
    assert len(found) == len(sizes)


@pytest.mark.parametrize(("x", "size"), [(torch.ones(3), 0), (torch.ones(2), 4)])
def test_sizes_that_do_not_fit(x, size):
    with pytest.raises(InputError, match="one label an input"):
        Batches(x, torch.arange(3), size=size)
