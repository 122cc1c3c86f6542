"""What a rank-adaptive training tells of its ranks, sizes and spectra."""

from functools import partial

import numpy as np
import pytest
import torch

from lowrank_kit.methods.adaptive import Adaptation
from lowrank_kit.models.factored import Factored
from tests.methods.adaptive_trainings import go_on, ranks, row, trained


def test_a_row_tells_what_was_cut_and_what_is_left():
    training = trained(0, adaptation=Adaptation(0.3, local_steps=2))
    sizes, widened = [], []
    for _ in range(6):
        go_on(training, 1)
        widened.append(training.n_factored)
        go_on(training, 1)
        sizes.append(training.n_factored)
    found = training.trajectory
    assert found["size"].tolist() == sizes and found["widened"].tolist() == widened
    assert (found["tolerance"] == 0.3).all() and found.layers == ("conv2", "conv3", "fc1")
    assert found["ranks"].shape == found["kept"].shape == (6, 3, 2) and found["values"].shape[:3] == (6, 3, 2)
    assert row(training, "ranks", -1) == ranks(training)
    assert found.facts["limits"] == {"conv2": [12, 8], "conv3": [10, 12], "fc1": [20, 90]}
    assert found.facts["n_dense"] == training.n_dense == 12 * 8 * 9 + 10 * 12 * 9 + 20 * 90
    assert sizes[-1] == sum(
        layer.core.numel() + sum(map(torch.numel, layer.bases)) for layer in training.layers.values()
    )
    assert found.name == "Net"


def test_values_are_those_of_the_weight_before_it_was_cut():
    training = trained(1, adaptation=Adaptation(0.3, local_steps=2))
    seen, truncate = {}, Factored.truncate

    def look(layer, chosen, directions):
        seen[id(layer)] = [torch.linalg.svdvals(layer.weight.detach().movedim(mode, 0).flatten(1)) for mode in (0, 1)]
        return truncate(layer, chosen, directions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Factored, "truncate", look)
        go_on(training, 1)
    for layer, values in zip(training.layers.values(), training.trajectory["values"][-1], strict=True):
        for mode, expected in enumerate(seen[id(layer)]):
            found = values[mode][~np.isnan(values[mode])]
            some = min(len(found), len(expected))
            np.testing.assert_allclose(found[:some], expected[:some], rtol=1e-6, atol=1e-6 * float(expected[0]))


def test_the_share_of_new_directions_that_is_kept_tells_frozen_bases():
    # From a low rank on, a tolerance that is large beside the steps cuts all that is new at once.
    frozen = trained(8, partial(torch.optim.SGD, lr=1e-6), Adaptation(0.5, local_steps=2), rank=0.2)
    free = trained(8, partial(torch.optim.SGD, lr=0.5), Adaptation(1e-6, local_steps=2), rank=0.2)
    assert np.nanmax(frozen.trajectory["kept"]) < 1e-3
    assert np.nanmin(free.trajectory["kept"][0]) > 0.99
    for found in (frozen.trajectory["kept"], free.trajectory["kept"]):
        known = found[~np.isnan(found)]
        assert ((known >= 0) & (known <= 1 + 1e-12)).all()


def test_where_nothing_can_be_added_no_share_of_it_is_told():
    training = trained(2, adaptation=Adaptation(1e-9, local_steps=2), rank=1.0)
    kept = training.trajectory["kept"][0]
    assert np.isnan(kept[:2]).all()  # both modes of both convolutions are whole
    assert np.isnan(kept[2, 0]) and not np.isnan(kept[2, 1])


def test_facts_of_ones_own_stand_in_the_row_of_their_step():
    training = trained(3, adaptation=Adaptation(0.3, local_steps=3))
    training.record(accuracy=0.5)
    go_on(training, 1)
    training.record(accuracy=0.6)
    go_on(training, 2)
    found = training.trajectory
    assert found.steps.tolist() == [3, 4, 6]
    np.testing.assert_array_equal(found["accuracy"], [0.5, 0.6, np.nan])
    assert np.isnan(found["size"]).tolist() == [False, True, False]
    assert found.last("accuracy") == 0.6 and found.last("ranks").shape == (3, 2)
