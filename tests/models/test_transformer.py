"""The transformer against attention written out by hand, and under everything PyTorch does to a network."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.measurement.cost import macs, n_params
from lowrank_kit.models.transformer import Attention, Block, StochasticDepth, mnist_vit

D, T, B = 64, 49, 4  # width, tokens, blocks


@pytest.fixture
def model():
    torch.manual_seed(0)
    return mnist_vit().eval()


@pytest.fixture
def x():
    return torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def scores(model, x):
    return model(x)


# what it is


def test_it_is_a_plain_sequential_of_named_stages(model):
    assert type(model) is nn.Sequential
    blocks = [f"block{i}" for i in range(1, B + 1)]
    assert [name for name, _ in model.named_children()] == ["patches", "tokens", *blocks, "norm", "mean", "head"]
    layers = {name: tuple(m.weight.shape) for name, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    block = {"attention.qkv": (3 * D, D), "attention.proj": (D, D), "mlp.fc1": (4 * D, D), "mlp.fc2": (D, 4 * D)}
    expected = {"patches": (D, 1, 4, 4), "head": (10, D)}
    assert layers == expected | {f"{b}.{name}": shape for b in blocks for name, shape in block.items()}


def test_parameters_by_hand(model):
    matrices, biases, norms = 12 * D**2, 9 * D, 4 * D
    outside = (16 * D + D) + T * D + 2 * D + (10 * D + 10)
    assert n_params(model) == outside + B * (matrices + biases + norms)
    assert 100_000 <= n_params(model) <= 300_000


def test_multiply_adds_by_hand(model, x):
    matrices = T * 16 * D + B * T * 12 * D**2 + 10 * D
    queries_times_keys_and_weights_times_values = B * 2 * T**2 * D
    assert macs(model, x.numpy()) == matrices + queries_times_keys_and_weights_times_values <= 12e6


@pytest.mark.parametrize("n_classes", [2, 10, 26])
def test_as_many_scores_as_classes(n_classes, x):
    assert scores(mnist_vit(n_classes), x).shape == (5, n_classes)


# what it computes


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_attention_is_the_softmax_of_queries_times_keys(heads):
    torch.manual_seed(2)
    attention = Attention(16, heads).double()
    x = torch.randn(3, 7, 16, dtype=torch.float64)
    with torch.no_grad():
        found = attention(x)
        W, b = attention.qkv.weight, attention.qkv.bias
        queries, keys, values = (x @ W[i : i + 16].T + b[i : i + 16] for i in (0, 16, 32))
        heard = []
        for i in range(heads):
            of = slice(i * 16 // heads, (i + 1) * 16 // heads)
            weights = (queries[..., of] @ keys[..., of].mT / np.sqrt(16 / heads)).softmax(-1)
            heard.append(weights @ values[..., of])
        expected = torch.cat(heard, -1) @ attention.proj.weight.T + attention.proj.bias
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_block_knows_no_places_and_the_network_does(model, x):
    order = torch.randperm(T, generator=torch.Generator().manual_seed(3))
    tokens = torch.randn(2, T, D)
    with torch.no_grad():
        block = Block(D, 4).eval()
        torch.testing.assert_close(block(tokens[:, order]), block(tokens)[:, order])
    patches = x.unfold(2, 4, 4).unfold(3, 4, 4).reshape(-1, 7, 7, 4, 4)
    shuffled = patches.flatten(1, 2)[:, order].view(-1, 7, 7, 4, 4).permute(0, 1, 3, 2, 4).reshape(x.shape)
    assert (scores(model, shuffled) - scores(model, x)).abs().max() > 1e-5
    with torch.no_grad():
        model.tokens.position.zero_()
    torch.testing.assert_close(scores(model, shuffled), scores(model, x))


def test_every_parameter_learns(model, x):
    nn.functional.cross_entropy(model.train()(x), torch.arange(5)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_stochastic_depth_leaves_out_whole_branches_and_keeps_their_mean():
    torch.manual_seed(4)
    branch = 1 + torch.rand(4000, 3, 2)
    depth = StochasticDepth(0.25)
    kept = depth(branch) / branch
    torch.testing.assert_close(kept, (kept[:, :1, :1] > 0).float().expand_as(kept) / 0.75)
    assert abs(kept.mean().item() - 1) < 0.04  # four standard deviations of 4,000 draws
    assert depth.eval()(branch) is branch


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_an_image_is_judged_alone_whatever_the_batch(n, model, x):
    found = scores(model, x[:n])
    assert found.shape == (n, 10)
    torch.testing.assert_close(found, scores(model, x)[:n])


# what PyTorch does to it


def test_a_copy_is_equal_and_shares_nothing(model, x):
    before = scores(model, x)
    twin = copy.deepcopy(model)
    assert torch.equal(scores(twin, x), before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(scores(model, x), before)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 2e-2), (torch.float64, 1e-5)], ids=str
)
def test_other_precisions_give_about_the_same_scores(dtype, tolerance, model, x):
    expected = scores(model, x)
    found = scores(model.to(dtype), x.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=tolerance)


def test_channels_last_changes_nothing(model, x):
    expected = scores(model, x)
    last = torch.channels_last
    torch.testing.assert_close(scores(model.to(memory_format=last), x.contiguous(memory_format=last)), expected)


def test_it_exports_with_the_batch_left_open(model, x):
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("n")},)).module()
    for n in (1, 3, 5):
        torch.testing.assert_close(scores(exported, x[:n]), scores(model, x[:n]))


def test_it_compiles_as_one_graph(model, x):
    torch.compiler.reset()  # other tests may have compiled the same code as often as is allowed
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(scores(compiled, x), scores(model, x))
