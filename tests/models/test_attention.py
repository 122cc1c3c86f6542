"""Attention opened into layers computes what PyTorch's does, in every way it can be called."""

from contextlib import contextmanager
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from lowrank_kit.models.attention import Attention, projections
from lowrank_kit.models.inventory import factorable_layers, inventory, weights_hash
from lowrank_kit.models.layers import RowsLinear
from lowrank_kit.models.low_rank import LowRank, matrix_shape
from lowrank_kit.models.surgery import compress

D, HEADS, N, T, S = 8, 2, 3, 4, 5  # width, heads, examples, queries, keys

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage:UserWarning")


def at_full_rank(model, by_hand, names=None):
    """The model with all of its layers, or those of these names, in factors of full rank."""
    layers = factorable_layers(model)
    ranks = {name: min(matrix_shape(layers[name])) for name in names or layers}
    return compress(model, by_hand(model, ranks), break_even_guard=False)


def tensors(*shapes):
    torch.manual_seed(1)
    return tuple(torch.randn(shape, dtype=torch.float64) for shape in shapes)


def close(found, expected):
    if isinstance(expected, tuple):
        return len(found) == len(expected) and all(close(*pair) for pair in zip(found, expected, strict=True))
    if expected is None:
        return found is None
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-10, atol=1e-12)


# nn.MultiheadAttention

BUILDS = {
    "plain": {},
    "no bias": {"bias": False},
    "extra keys": {"add_bias_kv": True},
    "zero key": {"add_zero_attn": True},
    "both extras": {"add_bias_kv": True, "add_zero_attn": True, "bias": False},
    "three widths": {"kdim": 6, "vdim": 7},
    "three widths, no bias, extra keys": {"kdim": 6, "vdim": 7, "bias": False, "add_bias_kv": True},
    "wider values": {"vdim": 7},
}
# which of query, key and value are one and the same
READS = {
    "itself": "qqq",
    "another": "qkk",
    "values of another": "qqv",
    "three": "qkv",
    "keys and queries of two": "qkq",
}


def read(pattern, kwargs, batched, batch_first):
    """Query, key and value; those of one letter are one tensor."""
    lengths = {"q": T, "k": T if pattern in ("qkq", "qqv") else S, "v": T if pattern == "qqv" else S}
    widths = {"q": D, "k": kwargs.get("kdim", D), "v": kwargs.get("vdim", D)}
    shapes = [
        ((N, lengths[x], widths[x]) if batch_first else (lengths[x], N, widths[x]))
        if batched
        else (lengths[x], widths[x])
        for x in "qkv"
    ]
    made = dict(zip("qkv", tensors(*shapes), strict=True))
    return tuple(made[x] for x in pattern)


def masks(queries, keys, batched):
    """Keyword arguments of every kind of mask, none of which hides all from anyone."""
    shown = torch.ones(queries, keys).tril(keys - queries).bool()
    weights = tensors((queries, keys), ((N if batched else 1) * HEADS, queries, keys), (N, keys))
    padding = torch.zeros(N, keys, dtype=torch.bool)
    padding[0, -1] = padding[1, 1] = True
    padding, plus = (padding, weights[2]) if batched else (padding[0], weights[2][0])
    bool_3d = ~shown.expand(weights[1].shape)
    return {
        "none": {},
        "bool": {"attn_mask": ~shown},
        "float": {"attn_mask": weights[0]},
        "bool of each head": {"attn_mask": bool_3d},
        "float of each head": {"attn_mask": weights[1]},
        "padding": {"key_padding_mask": padding},
        "float padding": {"key_padding_mask": plus},
        "bool and padding": {"attn_mask": ~shown, "key_padding_mask": padding},
        "float and float padding": {"attn_mask": weights[1], "key_padding_mask": plus},
        "causal": {"attn_mask": ~shown, "is_causal": True},
        "causal and padding": {"attn_mask": ~shown, "key_padding_mask": padding, "is_causal": True},
    }


WEIGHTS = [{"need_weights": False}, {"need_weights": True}, {"need_weights": True, "average_attn_weights": False}]


@pytest.mark.parametrize("kwargs", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("pattern", READS.values(), ids=READS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_attention_of_every_kind_called_in_every_way(kwargs, pattern, training, by_hand):
    widths = {"q": D, "k": kwargs.get("kdim", D), "v": kwargs.get("vdim", D)}
    if any(widths[a] != widths[b] for a, b in zip(pattern, "qkv", strict=True)):
        return  # one tensor can't be of two widths
    for batch_first, batched in product([True, False], repeat=2):
        torch.manual_seed(0)
        model = nn.MultiheadAttention(D, HEADS, batch_first=batch_first, **kwargs).double().train(training)
        found = at_full_rank(model, by_hand)
        assert type(found) is Attention and found.training is training
        q, k, v = read(pattern, kwargs, batched, batch_first)
        axis = 1 if batched and batch_first else 0
        for (name, mask), weights in product(masks(q.shape[axis], k.shape[axis], batched).items(), WEIGHTS):
            with torch.no_grad():
                expected, result = (m(q, k, v, **mask, **weights) for m in (model, found))
            assert close(result, expected), f"{name} {weights} batch_first={batch_first} batched={batched}"


def test_a_causal_hint_wants_its_mask(by_hand):
    model = nn.MultiheadAttention(D, HEADS)
    (x,) = tensors((T, N, D))
    for attention in (model.double(), at_full_rank(model.double(), by_hand)):
        with pytest.raises(RuntimeError, match="Need attn_mask if specifying the is_causal hint"):
            attention(x, x, x, is_causal=True)


def test_dropout_leaves_out_weights_while_training(by_hand):
    found = at_full_rank(nn.MultiheadAttention(D, HEADS, dropout=0.5).double(), by_hand)
    (x,) = tensors((50, N, D))
    for need_weights in (True, False):
        assert not torch.equal(*(found.train()(x, x, x, need_weights=need_weights)[0] for _ in range(2)))
        assert torch.equal(*(found.eval()(x, x, x, need_weights=need_weights)[0] for _ in range(2)))
    weights = found.train()(x, x, x, average_attn_weights=False)[1]
    assert 0.4 < (weights == 0).double().mean() < 0.6


def test_gradients_are_those_of_pytorch(by_hand):
    model = nn.MultiheadAttention(D, HEADS, batch_first=True).double()
    found = compress(model, by_hand(model, {}))
    opened = at_full_rank(model, by_hand)
    x, y = (t.requires_grad_() for t in tensors((N, T, D), (N, T, D)))
    found(x, x, x)[0].square().sum().backward()
    y.data = x.data.clone()
    opened(y, y, y)[0].square().sum().backward()
    torch.testing.assert_close(y.grad, x.grad, rtol=1e-9, atol=1e-10)
    assert all(p.grad is not None and p.grad.any() for p in opened.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_other_precisions(dtype, by_hand):
    torch.manual_seed(0)
    model = nn.MultiheadAttention(D, HEADS, batch_first=True).to(dtype).eval()
    (x,) = (t.to(dtype) for t in tensors((N, T, D)))
    found = at_full_rank(model, by_hand)
    mask = torch.ones(T, T).triu(1).bool()
    with torch.no_grad():
        expected, result = (m(x, x, x, attn_mask=mask)[0] for m in (model, found))
    assert result.dtype == dtype
    torch.testing.assert_close(result, expected, rtol=0, atol=16 * torch.finfo(dtype).eps)


def test_projections_are_layers_on_the_models_own_tensors():
    joint, apart = nn.MultiheadAttention(D, HEADS), nn.MultiheadAttention(D, HEADS, kdim=6)
    found = projections(joint)
    assert {name: type(layer) for name, layer in found.items()} == {"in_proj": RowsLinear, "out_proj": nn.Linear}
    assert found["in_proj"].weight is joint.in_proj_weight and found["in_proj"].bias is joint.in_proj_bias
    assert found["out_proj"].weight is joint.out_proj.weight
    assert {n: tuple(m.weight.shape) for n, m in projections(apart).items()} == {
        "q_proj": (D, D), "k_proj": (D, 6), "v_proj": (D, D), "out_proj": (D, D),
    }  # fmt: skip


@pytest.mark.parametrize("part", ["in_proj", "out_proj"])
def test_one_projection_alone_can_be_cut(part, by_hand):
    torch.manual_seed(0)
    model = nn.MultiheadAttention(16, HEADS, batch_first=True).double().eval()
    found = compress(model, by_hand(model, {part: 4}))
    assert [n for n, m in found.named_children() if isinstance(m, LowRank)] == [part]
    with torch.no_grad():  # the truncated weight in its place
        cut = found.get_submodule(part).weight
        (model.in_proj_weight if part == "in_proj" else model.out_proj.weight).copy_(cut)
        (x,) = tensors((N, T, 16))
        assert close(found(x, x, x), model(x, x, x))


def test_a_joint_projection_affords_half_as_much_rank_again():
    layers = projections(nn.MultiheadAttention(D, HEADS))
    joint = sum(matrix_shape(layers["in_proj"]))
    assert 3 * (D + D) / joint == 1.5


class Mine(nn.MultiheadAttention):
    """A subclass that computes what its parent does."""


def test_a_subclass_is_opened_too(by_hand):
    model = Mine(D, HEADS).double()
    (x,) = tensors((T, N, D))
    assert close(at_full_rank(model, by_hand)(x, x, x), model(x, x, x))


@pytest.mark.parametrize("norm", [parametrizations.spectral_norm, parametrizations.weight_norm])
def test_an_output_projection_that_is_computed_is_taken_as_it_is_in_eval_mode(norm, by_hand):
    torch.manual_seed(0)
    model = nn.MultiheadAttention(D, HEADS).double().train()
    norm(model.out_proj)
    before = weights_hash(model)
    assert [*inventory(model)] == ["in_proj", "out_proj"]
    found = at_full_rank(model, by_hand)
    assert weights_hash(model) == before, "spectral norm goes on iterating where it is read in training mode"
    (x,) = tensors((T, N, D))
    assert close(found.eval()(x, x, x), model.eval()(x, x, x))


# PyTorch's transformers, which have fused kernels of their own in eval mode

ENCODER = ["self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2"]
PARTS = {"all": None, **{name: [name] for name in ENCODER}}
LAYER = {
    "norm last": {"norm_first": False},
    "norm first": {"norm_first": True},
    "gelu": {"activation": "gelu"},
    "another activation": {"activation": torch.tanh},
    "no bias": {"bias": False},
}


def padded(lengths):
    """True where there is nothing (n, t)."""
    return torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]


def same_where_shown(found, expected, padding=None):
    if padding is not None:
        found, expected = found[~padding], expected[~padding]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@contextmanager
def fused_kernels_if_they_can(mask):
    """PyTorch's fused kernels give NaN for masks of other numbers than 0 and -inf."""
    before = torch.backends.mha.get_fastpath_enabled()
    numbers = (m for m in mask.values() if isinstance(m, torch.Tensor) and m.is_floating_point())
    torch.backends.mha.set_fastpath_enabled(not any(m.isfinite().all() for m in numbers))
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def run(model, *args, **kwargs):
    with torch.inference_mode() if not model.training else torch.enable_grad():
        return model(*args, **kwargs).detach().clone()


MASKS = {
    "none": {},
    "padding": {"src_key_padding_mask": padded([T, 2, 3])},
    "causal": {"mask": nn.Transformer.generate_square_subsequent_mask(T, dtype=torch.float64), "is_causal": True},
    "float": {"mask": tensors((T, T))[0]},
}


@pytest.mark.parametrize("kwargs", LAYER.values(), ids=LAYER)
@pytest.mark.parametrize("names", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_an_encoder_layer(kwargs, names, mask, training, by_hand):
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(D, HEADS, 12, dropout=0.0, batch_first=True, **kwargs).double().train(training)
    mask = {"src_mask" if name == "mask" else name: value for name, value in mask.items()}
    (x,) = tensors((N, T, D))
    with fused_kernels_if_they_can(mask):
        expected, found = run(model, x, **mask), run(at_full_rank(model, by_hand, names), x, **mask)
    same_where_shown(found, expected, mask.get("src_key_padding_mask"))


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("cut", [[0, 1], [0], [1]], ids=["both", "first", "second"])
@pytest.mark.parametrize("names", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_an_encoder(norm_first, cut, names, mask, training, by_hand):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(D, HEADS, 12, dropout=0.0, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first).double().train(training)
    (x,) = tensors((N, T, D))
    plan = [f"layers.{i}.{name}" for i in cut for name in names or ENCODER]
    with fused_kernels_if_they_can(mask):
        expected, found = run(model, x, **mask), run(at_full_rank(model, by_hand, plan), x, **mask)
    same_where_shown(found, expected, mask.get("src_key_padding_mask"))


def test_blocks_that_stay_dense_keep_their_fast_path(by_hand):
    layer = nn.TransformerEncoderLayer(D, HEADS, 12, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Linear(D, D)).eval()

    def switches(network):
        encoder = network[0]
        return encoder.use_nested_tensor, *(bool(part.activation_relu_or_gelu) for part in encoder.layers)

    def after(name):
        return switches(compress(model, by_hand(model, {name: 1})))

    assert switches(model) == after("1") == (True, True, True)
    assert after("0.layers.1.linear1") == (False, True, False)
    assert after("0.layers.0.self_attn.out_proj") == (False, False, True)
    assert switches(model) == (True, True, True)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("only", [None, "multihead_attn.in_proj", "self_attn.out_proj", "linear2"])
def test_a_decoder(norm_first, batch_first, training, only, by_hand):
    torch.manual_seed(0)
    layer = nn.TransformerDecoderLayer(D, HEADS, 12, dropout=0.0, batch_first=batch_first, norm_first=norm_first)
    model = nn.TransformerDecoder(layer, 2).double().train(training)
    x, memory = (t if batch_first else t.transpose(0, 1) for t in tensors((N, T, D), (N, S, D)))
    mask = {
        "tgt_mask": torch.ones(T, T).triu(1).bool(),
        "tgt_key_padding_mask": padded([T, 2, 3]),
        "memory_key_padding_mask": padded([2, S, 3]),
    }
    names = [f"layers.1.{only}"] if only else None
    found = at_full_rank(model, by_hand, names)
    same_where_shown(run(found, x, memory), run(model, x, memory))
    same_where_shown(run(found, x, memory, **mask), run(model, x, memory, **mask))


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("cut", ["all", "encoder", "decoder"])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True, but:UserWarning")
def test_a_whole_transformer(norm_first, training, cut, by_hand):
    torch.manual_seed(0)
    model = nn.Transformer(D, HEADS, 2, 2, 12, dropout=0.0, batch_first=True, norm_first=norm_first)
    model = model.double().train(training)
    x, y = tensors((N, S, D), (N, T, D))
    padding = padded([S, 2, 3])
    mask = {
        "src_key_padding_mask": padding,
        "memory_key_padding_mask": padding,
        "tgt_mask": torch.ones(T, T).triu(1).bool(),
        "tgt_is_causal": True,
    }
    names = [name for name in factorable_layers(model) if cut == "all" or name.startswith(cut)]
    found = at_full_rank(model, by_hand, names)
    same_where_shown(run(found, x, y), run(model, x, y))
    same_where_shown(run(found, x, y, **mask), run(model, x, y, **mask))
