import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.models.quantised import int8


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: nn.Linear(32, 24), (5, 32)),
        (lambda: nn.Conv2d(16, 12, 3, padding=1), (2, 16, 9, 9)),
        (lambda: nn.Conv2d(16, 12, 1, stride=2), (2, 16, 9, 9)),
        (lambda: nn.Conv2d(16, 16, 3, groups=4), (2, 16, 9, 9)),
    ],
    ids=["linear", "conv", "point", "grouped"],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_layer_in_int8_computes_nearly_the_same(make, size, seed):
    torch.manual_seed(seed)
    layer = make()
    x = torch.randn(size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        exact, found = layer(x), int8(layer.eval())(x)
    assert found.shape == exact.shape
    error = (found - exact).norm() / exact.norm()
    assert 0 < error < 0.05


def test_the_layer_itself_stays_as_it_was():
    layer = nn.Conv2d(4, 4, 3)
    before = layer.weight.detach().clone()
    int8(layer)
    assert layer.weight.dtype == torch.float32
    assert torch.equal(layer.weight, before)


def test_the_callers_random_numbers_are_left_alone():
    layers = nn.Conv2d(4, 4, 3), nn.Linear(4, 4)
    before = torch.get_rng_state()
    for layer in layers:
        int8(layer)
    assert torch.equal(torch.get_rng_state(), before)


def test_other_layers_have_no_such_form():
    with pytest.raises(InputError, match="two-dimensional convolutions have a form in int8; got Conv1d"):
        int8(nn.Conv1d(2, 2, 1))
