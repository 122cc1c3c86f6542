"""What training holds, counted where it can be counted by hand."""

import pytest
import torch
from torch import nn

from lowrank_kit.measurement.memory import training_memory


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(8, 16, bias=False), nn.ReLU(), nn.Linear(16, 3, bias=False))


X, Y = torch.randn(5, 8), torch.tensor([0, 1, 2, 0, 1])


def test_weights_gradients_and_what_the_backward_pass_needs(model):
    found = training_memory(model, X, Y, loss=lambda output, _: output.sum())
    assert found.weights == found.gradients == 4 * (8 * 16 + 16 * 3)
    # The input of the first layer, and the output of the ReLU, which is also the input of the last.
    assert found.activations == 4 * (5 * 8 + 5 * 16)
    assert found.moments == 0
    assert found.total == found.weights + found.gradients + found.activations


def test_what_is_frozen_has_no_gradient(model):
    model.requires_grad_(False)
    found = training_memory(model, X, Y)
    assert (found.gradients, found.activations) == (0, 0)


def test_an_optimisers_memory(model):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(X).sum().backward()
    optimiser.step()
    found = training_memory(model, X, Y, optimiser=optimiser)
    assert found.moments == found.weights
    assert str(found).startswith("0.0 MiB (weights 0.0")


def test_running_statistics_stay_as_they_were():
    model = nn.Sequential(nn.Linear(8, 3), nn.BatchNorm1d(3))
    before = {name: values.clone() for name, values in model.state_dict().items()}
    training_memory(model, X, Y)
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
