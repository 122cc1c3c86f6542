"""A network with other layers in it: everywhere they are referred to, and nothing else is changed."""

import threading
import warnings

import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.models.attention import Attention, projections
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.replacement import replaced, within
from lowrank_kit.models.surgery import compress


class Aliased(nn.Module):
    """Refers to one layer by three names, one of which PyTorch does not know."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.again, self.listed = self.first, [self.first]
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        return self.norm(self.first(x)) + self.again(x) + self.listed[0](x)


def tensors(model):
    return [*model.parameters(), *model.buffers()]


def test_a_layer_is_replaced_wherever_it_is_referred_to():
    model, new = Aliased(), nn.Linear(6, 6)
    found = replaced(model, {"first": new})
    assert found.first is found.again is found.listed[0] is not new
    assert torch.equal(found.first.weight, new.weight)
    assert model.first is model.again is model.listed[0]


@pytest.mark.parametrize("shared", [False, True])
def test_the_given_model_is_left_untouched(shared, states):
    model = Aliased()
    model.norm.eval()
    before = states(model)
    found = replaced(model, {"first": nn.Linear(6, 6)}, shared=shared)
    assert states.same(before, states(model))
    assert not {*map(id, model.modules())} & {*map(id, found.modules())}


@pytest.mark.parametrize("shared", [False, True])
def test_tensors_are_the_models_own_only_where_they_are_to_be_shared(shared):
    model, new = Aliased(), nn.Linear(6, 6)
    found = replaced(model, {"first": new}, shared=shared)
    theirs = {*map(id, [*model.norm.parameters(), *new.parameters()])}
    ours = {*map(id, found.parameters())}
    assert ours == theirs if shared else not ours & theirs
    assert not {*map(id, found.buffers())} & {*map(id, model.buffers())}, "a network may count its passes in one"


def test_the_network_itself_can_be_the_layer():
    assert type(replaced(nn.Linear(6, 6), {"": nn.Flatten()})) is nn.Flatten


def test_the_mode_of_every_module_is_kept():
    model = Aliased().train()
    model.norm.eval()
    found = replaced(model, {"first": nn.Linear(6, 6).eval()})
    assert (found.training, found.norm.training, found.first.training) == (True, False, False)


@pytest.mark.parametrize("shared", [False, True])
def test_what_a_past_pass_has_left_on_modules_is_no_obstacle(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        normed = nn.utils.weight_norm(nn.Linear(6, 6))
    model, x = nn.Sequential(nn.Linear(6, 6), normed), torch.randn(3, 6)
    model(x).sum().backward()
    found = replaced(model, {"0": model[0]}, shared=shared)
    torch.testing.assert_close(found(x), model(x))


@pytest.mark.parametrize("held", [threading.Lock(), (i for i in ())], ids=["a lock", "a generator"])
def test_a_network_that_cannot_be_copied_says_why(held):
    model = nn.Sequential(nn.Linear(6, 6))
    model.held = held
    with pytest.raises(InputError, match=r"`model` must be a network that copy\.deepcopy can copy; it says: .*pickle"):
        replaced(model, {"0": nn.Linear(6, 6)})


class Rebuilt(nn.Module):
    """Makes its copies itself, and passes by what deepcopy has copied already."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def __deepcopy__(self, memo):
        return Rebuilt()


@pytest.mark.parametrize(("wrap", "name"), [(lambda model: model, "fc"), (nn.Sequential, "0.fc")])
def test_a_network_whose_copies_would_hold_the_old_layer_says_so(wrap, name, by_hand):
    model = wrap(Rebuilt())
    # A layer of the same kind as the old one is no less lost.
    for ask in (lambda: compress(model, by_hand(model, {name: 2})), lambda: replaced(model, {name: nn.Linear(6, 6)})):
        with pytest.raises(InputError, match=f"its own way of copying leaves {name} as it was"):
            ask()


class Keeping(nn.Module):
    """Keeps what a part of it puts out, by a hook that is its own method."""

    def __init__(self, part):
        super().__init__()
        self.part, self.fc, self.kept = part, nn.Linear(8, 8), None
        part.register_forward_hook(self.keep)

    def keep(self, module, args, output):
        self.kept = module

    def forward(self, x):
        found = self.part(x, x, x)[0] if isinstance(self.part, nn.MultiheadAttention | Attention) else self.part(x)
        return self.fc(found)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(
    ("build", "cut", "kind"),
    [(lambda: nn.Linear(8, 8), "part", LowRank), (lambda: nn.MultiheadAttention(8, 2), "part.out_proj", Attention)],
    ids=["linear", "attention"],
)
def test_a_hook_that_is_a_method_of_the_network_acts_on_the_copy(build, cut, kind, training, by_hand):
    model = Keeping(build()).train(training)
    found = compress(model, by_hand(model, {cut: 2, "fc": 2}))
    assert isinstance(found.get_submodule(cut), LowRank) and isinstance(found.fc, LowRank)
    found(torch.randn(5, 8))
    assert type(found.kept) is kind and found.kept is found.part
    assert model.kept is None


class Twice(nn.Module):
    """Attention, a part of which is registered elsewhere too."""

    def __init__(self, *, alias_first):
        super().__init__()
        attention = nn.MultiheadAttention(8, 2)
        parts = {"proj": attention.out_proj, "attention": attention}
        for name in parts if alias_first else reversed(parts):
            self.add_module(name, parts[name])


@pytest.mark.parametrize("alias_first", [True, False])
def test_a_part_of_attention_that_stands_elsewhere_too_is_replaced_in_both_places(alias_first, by_hand):
    model = Twice(alias_first=alias_first)
    found = compress(model, by_hand(model, {"proj" if alias_first else "attention.out_proj": 2}))
    assert isinstance(found.proj, LowRank) and found.proj is found.attention.out_proj
    assert model.proj is model.attention.out_proj


@pytest.mark.parametrize("part", ["in_proj", "out_proj"])
def test_attention_gives_way_as_a_whole_where_a_part_of_it_is_replaced(part):
    model = nn.Sequential(nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 8))
    new = projections(model[0])[part]
    found = replaced(model, {f"0.{part}": nn.Sequential(new, nn.Identity())})
    assert type(found[0]) is Attention and type(model[0]) is nn.MultiheadAttention
    assert {name: type(layer) for name, layer in found[0].named_children()}[part] is nn.Sequential
    assert type(replaced(model, {"1": nn.Linear(8, 8)})[0]) is nn.MultiheadAttention


def test_attention_that_is_the_network_itself():
    model, x = nn.MultiheadAttention(8, 2), torch.randn(5, 3, 8)
    found = replaced(model, projections(model))
    assert type(found) is Attention
    torch.testing.assert_close(found(x, x, x), model(x, x, x))


def test_hooks_of_attention_go_along():
    model, seen = nn.MultiheadAttention(8, 2), []
    model.register_forward_hook(lambda module, args, output: seen.append(type(module)))
    x = torch.randn(5, 3, 8)
    replaced(model, projections(model))(x, x, x)
    assert seen == [Attention]


@pytest.mark.parametrize(("block", "name"), [("", "fc"), ("body", "body.fc"), ("body.0", "body.0.fc")])
def test_parts_are_named_within_their_block(block, name):
    assert within(block, "fc") == name
