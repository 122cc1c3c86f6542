"""Every matrix of a network has one entry: a layer to factorise, a twin of one, or a reason."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from lowrank_kit.checks import InputError
from lowrank_kit.models.inventory import factorable_layers, head_of, inventory, weights_hash
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.surgery import compress, spectra, survey


def on_weight_of(first, *others):
    """A network whose layers share the weight of the first."""
    for other in others:
        other.weight = first.weight
    return nn.Sequential(first, *others)


def sparse():
    layer = nn.Linear(9, 9)
    layer.weight = nn.Parameter(layer.weight.detach().to_sparse())
    return layer


def of_type(dtype):
    layer = nn.Linear(9, 9)
    layer.weight = nn.Parameter(layer.weight.detach().to(dtype), requires_grad=False)
    return layer


class Eight(torch.Tensor):
    """Eight bits that stand for other numbers, as libraries for large models have them."""

    def __deepcopy__(self, memo):
        return nn.Parameter(self.detach().clone(), requires_grad=False)


def eight_bits():
    layer = nn.Linear(9, 9)
    layer.weight = nn.Parameter(torch.ones(9, 9).as_subclass(Eight), requires_grad=False)
    return layer


def packed(how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch is about to leave its integers to another package
        if how == "made":
            return torch.ao.nn.quantized.dynamic.Linear(9, 9)
        if torch.backends.quantized.engine == "none":
            pytest.skip("this PyTorch has no quantised kernels")
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(9, 9)), {nn.Linear})[0]


def lazy():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Lazy modules are a new feature", UserWarning)
        return nn.LazyLinear(9)


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix, self.vector = nn.Parameter(torch.ones(9, 9)), nn.Parameter(torch.ones(9))


class OwnAttention(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x)[0]


def patched(module):
    module.forward = torch.tanh
    return module


def tied_to_own_attention():
    attention, layer = OwnAttention(8, 2), nn.Linear(8, 8)
    layer.weight = attention.out_proj.weight
    return nn.Sequential(attention, layer)


def without_inputs():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors", UserWarning)
        return nn.Linear(0, 9)


def compiled():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
        return torch.jit.script(nn.Linear(9, 9))


ONLY = "only linear and convolution layers are factorised"
# what stands first in the network -> {name: reason} of what is refused in it
REFUSED = {
    "embedding": (lambda: nn.Embedding(9, 6), {"0": f"{ONLY}, not Embedding"}),
    "bag": (lambda: nn.EmbeddingBag(9, 6), {"0": f"{ONLY}, not EmbeddingBag"}),
    "transposed": (lambda: nn.ConvTranspose2d(4, 8, 3), {"0": f"{ONLY}, not ConvTranspose2d"}),
    "bilinear": (lambda: nn.Bilinear(3, 4, 5), {"0": f"{ONLY}, not Bilinear"}),
    "recurrent": (
        lambda: nn.LSTM(4, 8),
        {f"0.weight_{part}_l0": f"a bare parameter of LSTM: {ONLY}" for part in ("ih", "hh")},
    ),
    "a cell": (
        lambda: nn.GRUCell(4, 8),
        {f"0.weight_{part}": f"a bare parameter of GRUCell: {ONLY}" for part in ("ih", "hh")},
    ),
    "bare parameter": (Bare, {"0.matrix": f"a bare parameter of Bare: {ONLY}"}),
    "attention of one's own": (
        lambda: OwnAttention(8, 2),
        {"0": "attention that reads its weights in a way of its own"},
    ),
    "normed attention": (
        lambda: parametrizations.weight_norm(nn.MultiheadAttention(8, 2), "in_proj_weight"),
        {"0": "attention that reads its weights in a way of its own"},
    ),
    "pruned attention": (
        lambda: prune.l1_unstructured(nn.MultiheadAttention(8, 2), "in_proj_weight", 0.3),
        {"0": "attention that reads its weights in a way of its own"},
    ),
    "patched attention": (
        lambda: patched(nn.MultiheadAttention(8, 2)),
        {"0": "attention that reads its weights in a way of its own"},
    ),
    "patched": (lambda: patched(nn.Linear(9, 9)), {"0": "its forward pass was replaced by another"}),
    "compiled": (compiled, {"0": "compiled to TorchScript"}),
    "empty": (without_inputs, {"0": "its weight is empty"}),
    "packed integers": (lambda: packed("made"), {"0": "quantised: factorise the network before it is quantised"}),
    "quantised": (lambda: packed("converted"), {"0": "quantised: factorise the network before it is quantised"}),
    "sparse": (sparse, {"0": "its weight is stored sparse"}),
    "int8": (lambda: of_type(torch.int8), {"0": "its weight is of type int8"}),
    "complex": (lambda: of_type(torch.complex64), {"0": "its weight is of type complex64"}),
    "float8": (lambda: of_type(torch.float8_e4m3fn), {"0": "its weight is of type float8_e4m3fn"}),
    "eight bits": (eight_bits, {"0": "its weight is no plain tensor but Eight"}),
    "lazy": (lazy, {"0": "its size is not known before the network is first run"}),
    "meta": (lambda: nn.Linear(9, 9, device="meta"), {"0": "its weight holds no values (meta device)"}),
    "tied to an embedding": (
        lambda: on_weight_of(nn.Embedding(9, 6), nn.Linear(6, 9)),
        {
            "0.0": f"{ONLY}, not Embedding",
            "0.1": "shares its weight with 0.0.weight, which can't be factorised along",
        },
    ),
    "tied to attention of one's own": (
        tied_to_own_attention,
        {
            "0.0": "attention that reads its weights in a way of its own",
            "0.1": "shares its weight with 0.0.out_proj.weight, which can't be factorised along",
        },
    ),
    "tied to a layer read otherwise": (
        lambda: on_weight_of(nn.Conv1d(4, 8, 1), nn.Conv1d(8, 8, 1, groups=2)),
        {
            "0.0": "shares its weight with 0.1, which can't be factorised along",
            "0.1": "shares its weight with 0.0, which can't be factorised along",
        },
    ),
}
refused = pytest.mark.parametrize(("build", "reasons"), REFUSED.values(), ids=REFUSED)


@refused
def test_what_is_refused_is_named_with_the_reason_and_the_rest_is_compressed(build, reasons, by_hand):
    model = nn.Sequential(build(), nn.Linear(9, 9))
    plan = by_hand(model, {"1": 2})
    found = survey(model, plan)
    assert {r.layer: r.reason for r in found.layers if r.verdict == "refused"} == reasons
    assert [r.layer for r in found.layers if r.verdict == "compressed"] == ["1"]
    assert all(found[name].n_params == found[name].n_params_before for name in reasons)
    small = compress(model, plan)
    assert isinstance(small[1], LowRank) and type(small[0]) is type(model[0])
    assert not {*reasons} & {*spectra(model)}


@refused
def test_what_is_refused_cannot_be_planned(build, reasons, by_hand):
    model = nn.Sequential(build(), nn.Linear(9, 9))
    for name in reasons:
        with pytest.raises(InputError, match=f"`layer` must be one of .*; got '{name}'"):
            compress(model, by_hand(model, {name: 1}))


SIZES = {
    "embedding": (lambda: nn.Embedding(9, 6), "Embedding 9 x 6", 54),
    "recurrent": (lambda: nn.LSTM(4, 8), "Parameter 32 x 4", 128),
    "transposed": (lambda: nn.ConvTranspose2d(4, 8, 3), "ConvTranspose2d 4 x 8 x 3 x 3", 4 * 8 * 9 + 8),
    "lazy": (lazy, "LazyLinear", 0),
    "linear": (lambda: nn.Linear(4, 8), "Linear 8 x 4", 40),
    "convolution": (lambda: nn.Conv2d(4, 8, (3, 1), groups=2), "Conv2d 8 x 2 x 3 x 1", 56),
    "attention": (lambda: nn.MultiheadAttention(8, 2), "MultiheadAttention in_proj 24 x 8", 216),
    "computed": (lambda: parametrizations.weight_norm(nn.Linear(4, 8)), "ParametrizedLinear 8 x 4", 32 + 8 + 8),
}


@pytest.mark.parametrize(("build", "kind", "n_params"), SIZES.values(), ids=SIZES)
def test_an_entry_tells_kind_and_size(build, kind, n_params):
    first, *_ = inventory(nn.Sequential(build())).values()
    assert (first.kind, first.n_params) == (kind, n_params)


# what a network is made of


@pytest.mark.parametrize("wrap", [lambda model: model, nn.Sequential], ids=["the network itself", "in a network"])
@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda: nn.Linear(8, 8), [""]),
        (lambda: parametrizations.weight_norm(nn.Linear(8, 8)), [""]),
        (lambda: nn.MultiheadAttention(8, 2), ["in_proj", "out_proj"]),
        (lambda: nn.MultiheadAttention(8, 2, kdim=6), ["q_proj", "k_proj", "v_proj", "out_proj"]),
        (
            lambda: nn.TransformerEncoderLayer(8, 2, 16),
            ["self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2"],
        ),
        (lambda: packed("made"), [""]),
    ],
    ids=["linear", "computed", "attention", "attention of three widths", "encoder layer", "quantised"],
)
def test_every_matrix_has_one_entry(build, names, wrap):
    model = wrap(build())
    prefix = "0" if isinstance(model, nn.Sequential) else ""
    assert [*inventory(model)] == [".".join(filter(None, (prefix, name))) for name in names]
    assert not any(site.twin_of for site in inventory(model).values())


def test_a_computed_weight_is_noted():
    first, second = inventory(nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)), nn.Linear(8, 8))).values()
    assert first.notes == ("its computed weight is folded in",) and second.notes == ()


def test_layers_that_share_a_weight_are_twins_of_the_first():
    model = on_weight_of(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8, bias=False))
    assert [site.twin_of for site in inventory(model).values()] == ["", "0", "0"]
    assert [*factorable_layers(model)] == ["0"]


def test_a_module_in_two_places_has_one_entry():
    layer = nn.Linear(8, 8)
    assert [*inventory(nn.Sequential(layer, nn.ReLU(), layer))] == ["0"]


class Adapted(nn.Linear):
    """A layer with others inside, which it adds to its own product."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.down, self.up = nn.Linear(inputs, 2), nn.Linear(2, outputs)

    def forward(self, x):
        return super().forward(x) + self.up(self.down(x))


def test_layers_inside_a_layer_that_is_refused_are_found():
    found = inventory(nn.Sequential(Adapted(8, 8)))
    assert {name: bool(site.reason) for name, site in found.items()} == {"0": True, "0.down": False, "0.up": False}


# head


def test_the_head_is_the_last_factorable_layer(mlp, residual):
    assert (head_of(mlp), head_of(residual), head_of(nn.ReLU())) == ("4", "head", None)


class HeadFirst(nn.Module):
    """Registered the other way round than it is run."""

    def __init__(self):
        super().__init__()
        self.head, self.body, self.turned = nn.Linear(8, 4), nn.Linear(12, 8), nn.ConvTranspose1d(2, 2, 1)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def test_the_head_is_the_layer_that_is_run_last_where_the_order_is_known():
    model = HeadFirst()
    assert head_of(model) == head_of(model, []) == "body"
    assert head_of(model, ["body", "head"]) == head_of(model, {"body": 1, "head": 1, "turned": 9}) == "head"
    assert head_of(model, ["turned", "gone"]) == "body"


# hash


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_hash_is_of_values_not_of_layout(residual, layout):
    before = weights_hash(residual)
    assert weights_hash(residual.to(memory_format=layout)) == before
    assert len(before) == len("sha256:") + 64


def test_the_hash_tells_weights_names_and_types_apart(mlp):
    before = weights_hash(mlp)
    assert weights_hash(nn.Sequential(nn.Flatten(), *mlp)) != before
    assert weights_hash(mlp.double()) != before
    mlp.float()
    assert weights_hash(mlp) == before
    with torch.no_grad():
        mlp[2].weight[3, 3] += 1e-6
    assert weights_hash(mlp) != before


TENSORS = ["conv1.weight", "conv1.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.num_batches_tracked"]


@pytest.mark.parametrize("name", [*TENSORS, "head.bias"])
def test_the_hash_is_of_all_that_the_network_computes_with(residual, by_hand, name):
    before, plan = weights_hash(residual), by_hand(residual, {"conv1": 2})
    with torch.no_grad():
        residual.state_dict()[name].add_(1)
    assert weights_hash(residual) != before
    with pytest.raises(InputError, match=r"`plan` must be made for this model's weights.*Plan again with this model"):
        compress(residual, plan)


class Counted(nn.Linear):
    """Saves, beside its tensors, a word."""

    def get_extra_state(self):
        return "a word"

    def set_extra_state(self, state):
        assert state == "a word"


def test_a_network_that_saves_more_than_tensors_has_a_hash(by_hand):
    model = nn.Sequential(Counted(9, 9), nn.Linear(9, 9))
    assert "0._extra_state" in model.state_dict()
    assert isinstance(compress(model, by_hand(model, {"1": 2}))[1], LowRank)


def test_the_hash_is_of_sparse_values_too():
    model = nn.Sequential(sparse())
    before, weight = weights_hash(model), model[0].weight
    model[0].weight = nn.Parameter(weight.detach().coalesce())
    assert weights_hash(model) == before
    model[0].weight = nn.Parameter(2 * weight.detach())
    assert weights_hash(model) != before


def test_the_hash_of_a_network_without_values_is_that_of_its_shapes():
    found = {weights_hash(nn.Linear(9, n, device="meta")) for n in (8, 9, 9)}
    assert len(found) == 2


class Speaker(nn.Module):
    """An output layer that shares its weight with an embedding."""

    def __init__(self):
        super().__init__()
        self.words, self.body, self.out = nn.Embedding(9, 6), nn.Linear(6, 6), nn.Linear(6, 9, bias=False)
        self.out.weight = self.words.weight


@pytest.mark.parametrize("order", [[], ["body"]])
def test_no_layer_is_taken_for_a_head_that_stays_as_it_is(order):
    assert head_of(Speaker(), order) is None
