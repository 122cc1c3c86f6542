"""Networks of every make stay what they are when compressed, and survive all that PyTorch does to networks."""

import copy
import shutil

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.cost import n_params
from lowrank_kit.models.inventory import factorable_layers, inventory, weights_hash
from lowrank_kit.models.layers import channels_last, is_channels_last
from lowrank_kit.models.low_rank import LowRank, matrix_shape, suited
from lowrank_kit.models.surgery import compress
from lowrank_kit.models.transformer import Block
from lowrank_kit.records import LayerPlan, RankPlan

D = 8


class SelfAttention(nn.Module):
    """Attention as transformers have it: three layers and one behind them."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.dense = (nn.Linear(D, D) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (2, -1)).transpose(-3, -2) for f in (self.query, self.key, self.value))
        return x + self.dense(F.scaled_dot_product_attention(q, k, v).transpose(-3, -2).flatten(-2))


class ReadsWeights(nn.Module):
    """Computes with its layers' weights itself, beside calling them."""

    def __init__(self):
        super().__init__()
        self.fc, self.out = nn.Linear(D, D), nn.Linear(D, D, bias=False)
        self.conv = nn.Conv1d(D, D, 3, padding=1, groups=2)

    def forward(self, x):
        x = F.linear(x, self.fc.weight, self.fc.bias) + self.fc(x) * self.out.weight.norm()
        x = F.conv1d(x.mT, self.conv.weight, self.conv.bias, padding=1, groups=2).mT
        return x if self.out.bias is None else self.out(x)


class Decides(nn.Module):
    """Goes another way for other data, so that it can't be traced."""

    def __init__(self):
        super().__init__()
        self.small, self.large = nn.Linear(D, D), nn.Linear(D, D)

    def forward(self, x):
        for _ in range(3):
            x = self.small(x) if float(x.detach().abs().mean()) < 0.5 else self.large(x).tanh()
        return x


class Squeezed(nn.Module):
    """A network on images within the shapes of the others."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, D, 3, padding=1),
            nn.BatchNorm2d(D),
            nn.ReLU(inplace=True),
            nn.Conv2d(D, D, 3, padding=1, groups=2, bias=False),
            nn.Conv2d(D, 1, (1, 3), padding=(0, 1)),
        )

    def forward(self, x):
        return self.body(x[:, None])[:, 0]


class Kernels(nn.Module):
    """Convolutions over one, two and three axes within the shapes of the others."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv1d(6, 6, 3, padding="same", padding_mode="circular")
        self.two = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.three = nn.Conv3d(2, 2, (1, 2, 3), padding=(0, 1, 1))

    def forward(self, x):
        x = torch.relu(self.two(self.one(x).unflatten(1, (3, 2)))).flatten(1, 2)
        return self.three(x.reshape(-1, 2, 3, 2, 4))[:, :, :, 1:].reshape(-1, 6, D)


def tied():
    first, second = nn.Linear(D, D), nn.Linear(D, D)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


def used_twice():
    layer = nn.Linear(D, D)
    return nn.Sequential(layer, nn.Tanh(), layer)


def hooked():
    model = nn.Sequential(nn.Linear(D, D), nn.Linear(D, D))
    model[0].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    model[1].register_forward_hook(lambda module, args, output: 2 * output)
    return model


# name -> how to build it, the layers that are factorised in it; inputs are (n, 6, D)
NETWORKS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(D, 12), nn.GELU(), nn.Linear(12, D)), ["0", "2"]),
    "convolutions": (Squeezed, ["body.0", "body.3", "body.4"]),
    "kernels": (Kernels, ["one", "two", "three"]),
    "fused qkv": (lambda: Block(D, 2), ["attention.qkv", "attention.proj", "mlp.fc1", "mlp.fc2"]),
    "separate q, k, v": (SelfAttention, ["query", "key", "value", "dense"]),
    "encoder": (
        lambda: nn.TransformerEncoderLayer(D, 2, 12, dropout=0.0, batch_first=True),
        ["self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2"],
    ),
    "tied": (tied, ["0"]),
    "used twice": (used_twice, ["0"]),
    "hooked": (hooked, ["0", "1"]),
    "reads weights": (ReadsWeights, ["fc", "out", "conv"]),
    "decides": (Decides, ["small", "large"]),
    "computed": (lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(D, D)), nn.Tanh()), ["0"]),
}
# By which method, where that is not svd.
BY = {"kernels": "tucker"}
networks = pytest.mark.parametrize("name", NETWORKS)
# Which way a pass goes may hang on a rounded digit, and no export can hold it.
steady = pytest.mark.parametrize("name", [name for name in NETWORKS if name != "decides"])


def built(name, dtype=torch.float64):
    torch.manual_seed(0)
    return NETWORKS[name][0]().to(dtype).eval()


def inputs(dtype=torch.float64):
    return torch.randn(3, 6, D, dtype=dtype, generator=torch.Generator().manual_seed(1))


def planned(layer, share, method):
    """This share of every rank that the layer has by the method, or by svd where that does not suit it."""
    method = suited(layer, method)
    full = tuple(layer.weight.shape[:2]) if method == "tucker" else (min(matrix_shape(layer, method)),)
    ranks = [max(int(share * rank), 1) for rank in full]
    return LayerPlan(ranks if method == "tucker" else ranks[0], method)


def cut(model, share=0.5, method="svd"):
    plans = {name: planned(layer, share, method) for name, layer in factorable_layers(model).items()}
    return compress(model, RankPlan(plans, weights_hash(model)), break_even_guard=False)


@torch.no_grad()
def run(model, x):
    return model(x)


@pytest.fixture
def small(name):
    """The network with every layer at half its rank, in float32."""
    return cut(built(name, torch.float32), method=BY.get(name, "svd"))


# networks of every make


@networks
@pytest.mark.parametrize("method", ["svd", "spatial", "tucker"])
def test_at_full_rank_every_network_computes_what_it_did(name, method):
    model, x = built(name), inputs()
    found = cut(model, 1, method)
    assert [n for n, site in inventory(model).items() if site.layer is not None and not site.twin_of] == NETWORKS[name][
        1
    ]
    assert sum(isinstance(m, LowRank) for m in found.modules()) >= len(NETWORKS[name][1])
    torch.testing.assert_close(run(found, x), run(model, x), rtol=1e-10, atol=1e-12)


@networks
def test_below_every_network_computes_with_the_truncated_weights(name):
    model, x = built(name), inputs()
    found = cut(model, method=BY.get(name, "svd"))
    assert not torch.allclose(run(found, x), run(model, x), rtol=1e-3, atol=1e-3)
    for layer in NETWORKS[name][1]:
        block, part = found.get_submodule(layer).weight, layer.rpartition(".")
        with torch.no_grad():
            if part[2] == "in_proj":
                model.get_submodule(part[0]).in_proj_weight.copy_(block)
            elif name == "computed":
                model[0].weight = block
            else:
                model.get_submodule(layer).weight.copy_(block)
    torch.testing.assert_close(run(found, x), run(model, x), rtol=1e-10, atol=1e-12)


def test_a_tied_weight_is_counted_and_compressed_once():
    model = built("tied")
    found = cut(model, 0.25)
    assert (n_params(model), n_params(found)) == (D * D + 2 * D, 2 * 2 * D + 2 * D)
    assert found[0].reduce.weight is found[2].reduce.weight
    assert found[0].bias is not found[2].bias


def test_a_network_that_shares_a_weight_with_what_cannot_be_factorised_keeps_it(by_hand):
    class Language(nn.Module):
        """Its words go in by the weight they come out by."""

        def __init__(self):
            super().__init__()
            self.embed, self.body, self.head = nn.Embedding(20, D), nn.Linear(D, D), nn.Linear(D, 20, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, x):
            return self.head(self.body(self.embed(x)))

    model, x = Language().double(), torch.arange(20)
    found = cut(model, 1)
    assert found.head.weight is found.embed.weight and isinstance(found.body, LowRank)
    assert inventory(model)["head"].reason == "shares its weight with embed.weight, which can't be factorised along"
    torch.testing.assert_close(run(found, x), run(model, x))
    with pytest.raises(InputError, match="got 'head'"):
        compress(model, by_hand(model, {"head": 2}))


# what PyTorch does to them


@networks
def test_a_copy_is_equal_and_shares_nothing(name, small):
    x = inputs(torch.float32)
    before, twin = run(small, x), copy.deepcopy(small)
    assert torch.equal(run(twin, x), before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(run(small, x), before)


@steady
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float16, 2e-2), (torch.bfloat16, 1e-1), (torch.float64, 1e-4)], ids=str
)
def test_other_precisions_give_about_the_same(name, small, dtype, tolerance):
    x = inputs(torch.float32)
    expected, found = run(small, x), run(small.to(dtype), x.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("method", "name", "block", "part"),
    [("spatial", "convolutions", "body.3", "reduce"), ("tucker", "kernels", "two", "core")],
)
def test_channels_last_changes_the_layout_alone(method, name, block, part):
    small, x = cut(built(name, torch.float32), 0.7, method), inputs(torch.float32)
    expected, laid_out = run(small, x), small.get_submodule(block)
    assert not is_channels_last(laid_out.get_submodule(part))
    channels_last(laid_out)
    torch.testing.assert_close(run(small, x), expected)
    assert is_channels_last(laid_out.get_submodule(part))


@networks
def test_its_tensors_can_be_taken_out_and_put_back(name, small):
    x, other = inputs(torch.float32), copy.deepcopy(small)
    with torch.no_grad():
        for tensor in other.state_dict().values():
            tensor.zero_()
    assert str(other.load_state_dict(small.state_dict())) == "<All keys matched successfully>"
    assert torch.equal(run(other, x), run(small, x))


@steady
def test_a_step_down_its_gradient_lowers_its_loss(name, small):
    x, target = inputs(torch.float32), torch.zeros(3, 6, D)
    optimiser = torch.optim.SGD(small.train().parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        losses.append(F.mse_loss(small(x), target))
        losses[-1].backward()
        assert [n for n, p in small.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
        optimiser.step()
    assert losses[2] < losses[1] < losses[0]


@steady
def test_it_is_exported_and_runs(name, small):
    x = inputs(torch.float32)
    exported = torch.export.export(small, (x,)).module()
    torch.testing.assert_close(run(exported, x), run(small, x))
    torch.testing.assert_close(run(exported, 2 * x), run(small, 2 * x))


@networks
def test_it_compiles(name, small):
    x = inputs(torch.float32)
    expected = run(small, x)
    torch._dynamo.reset()
    torch.testing.assert_close(run(torch.compile(small, backend="aot_eager"), x), expected)


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch's own, as it is loaded
@pytest.mark.parametrize("name", ["encoder"])
def test_it_compiles_into_kernels(name, small):
    x = inputs(torch.float32)
    expected = run(small, x)
    torch._dynamo.reset()
    torch.testing.assert_close(run(torch.compile(small), x), expected, rtol=1e-4, atol=1e-5)
