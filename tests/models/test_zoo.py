"""The shipped networks are what their cards say; one's own come through the same door."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_model
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lowrank_kit.checks import InputError
from lowrank_kit.files import read_arrays, shipped
from lowrank_kit.measurement.cost import macs, n_params
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.surgery import spectra
from lowrank_kit.models.zoo import ZOO, examples, load
from lowrank_kit.records import RankTables

names = pytest.mark.parametrize("name", ZOO)
seeds = pytest.mark.parametrize(("seed", "variant"), [(0, "trained"), (1, "trained-1"), (2, "trained-2")])


def card(name):
    return json.loads(shipped("data", name, "card.json").read_text())


def stored_tables(name):
    return RankTables.from_arrays(*read_arrays(shipped("data", name, "tables.safetensors")))


def accuracy(model, found):
    return (predictions(model, found) == found.y).mean()


@pytest.fixture
def zoo(mnist, vit, digits):
    return {"mnist-cnn": mnist, "mnist-vit": vit, "digits-mlp": digits}


# what is shipped


@names
@seeds
def test_the_weights_of_every_seed_score_what_the_card_says(name, seed, variant):
    model, data = load(name, weights=variant)
    entry = card(name)["scores"][seed]
    assert (entry["seed"], entry["file"]) == (seed, f"{variant}.safetensors")
    assert entry["weights"] == weights_hash(model)
    for part in ("validation", "test"):
        found = getattr(data, part)
        # Sums differ in their last digits between processors: two examples may fall the other way.
        assert abs(accuracy(model, found) - entry[part]) * len(found) <= 2


@names
def test_without_a_wish_the_weights_are_those_of_seed_zero(name, zoo):
    assert weights_hash(zoo[name][0]) == card(name)["scores"][0]["weights"]


@names
def test_the_card_sums_up_its_seeds(name):
    found = card(name)
    assert found["network"] == name
    assert [score["seed"] for score in found["scores"]] == [0, 1, 2]
    assert len({score["weights"] for score in found["scores"]}) == 3
    assert found["mean_test_accuracy"] == pytest.approx(np.mean([score["test"] for score in found["scores"]]))


@pytest.mark.parametrize(("name", "least"), [("mnist-cnn", 0.986), ("mnist-vit", 0.965)])
def test_networks_are_good_enough_to_be_worth_compressing(name, least):
    assert card(name)["mean_test_accuracy"] >= least


@names
def test_networks_are_small_enough_for_a_laptop(name, zoo):
    model, data = zoo[name]
    assert 0 < macs(model, data.test.x) <= 12e6
    assert not any(module.training for module in model.modules())


@names
def test_images_are_float32_in_zero_to_one_and_labels_ten_classes(name, zoo):
    _, data = zoo[name]
    for part in (data.train, data.validation, data.test):
        assert part.x.dtype == np.float32
        assert (part.x.min(), part.x.max()) == (0, 1)
        assert part.y.dtype == np.int64
        assert np.unique(part.y).tolist() == [*range(10)]
    assert card(name)["examples"] == {p: len(getattr(data, p)) for p in ("train", "validation", "test")}


def test_mnist_splits_hold_every_digit_equally_often(mnist):
    data = mnist[1]
    for part, each in ((data.train, 350), (data.validation, 50), (data.test, 100)):
        assert np.bincount(part.y).tolist() == [each] * 10
        assert part.x.shape[1:] == (1, 28, 28)


@names
def test_no_image_is_in_two_splits(name, zoo):
    data = zoo[name][1]
    parts = [{image.tobytes() for image in part.x} for part in (data.train, data.validation, data.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) > 1000


@names
def test_initial_weights_have_learnt_nothing(name, zoo):
    trained, data = zoo[name]
    initial, _ = load(name, weights="initial")
    assert n_params(initial) == n_params(trained)
    assert weights_hash(initial) != weights_hash(trained)
    assert accuracy(initial, data.test) < 0.4


def test_the_twin_that_never_saw_a_nine_is_bad_at_nines_alone(mnist):
    twin, data = load("mnist-cnn", weights="without-9")
    nine = data.test.y == 9
    seen = accuracy(twin, data.test.take(~nine))
    stated = card("mnist-cnn")["without-9"]
    assert stated["weights"] == weights_hash(twin)
    assert stated["test_examples"] == np.count_nonzero(~nine) == 900
    assert abs(seen - stated["test_accuracy_on_seen_digits"]) * 900 <= 2
    assert accuracy(twin, data.test.take(nine)) == 0
    assert accuracy(mnist[0], data.test.take(nine)) > 0.9


@names
def test_stored_tables_belong_to_the_stored_weights(name, zoo):
    model, data = zoo[name]
    tables = stored_tables(name)
    assert tables.weights == weights_hash(model)
    assert (tables.n_params, tables.macs) == (n_params(model), macs(model, data.test.x))
    assert tables.n_examples == len(data.test)
    assert abs(tables.accuracy - accuracy(model, data.test)) * tables.n_examples <= 2
    assert len(tables.predicted) == len(tables.observed) == 50
    for layer, spectrum in spectra(model).items():
        np.testing.assert_allclose(tables.spectra[layer].values, spectrum.values, rtol=1e-5)
    for table in tables.layers:
        assert table.measured[: table.break_even_rank].all()
        assert not table.measured[table.break_even_rank :].any()


# your own


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, 4)

    def forward(self, x):
        return self.fc(x)


@pytest.fixture
def pair(vectors):
    return torch.from_numpy(vectors.x), torch.from_numpy(vectors.y)


@pytest.mark.parametrize("how", ["loader", "tensors", "arrays", "list", "generator", "list pair"])
def test_your_own_examples_arrive_whole_and_in_order(how, pair, vectors):
    x, y = pair
    given = {
        "loader": lambda: DataLoader(TensorDataset(x, y), batch_size=25),
        "tensors": lambda: (x, y),
        "arrays": lambda: (vectors.x, vectors.y),
        "list": lambda: [(x[:10], y[:10]), [x[10:], y[10:]]],
        "generator": lambda: ((x[i : i + 7], y[i : i + 7]) for i in range(0, 60, 7)),
        "list pair": lambda: [x, y],
    }[how]()
    found = examples(given)
    np.testing.assert_array_equal(found.x, vectors.x)
    np.testing.assert_array_equal(found.y, vectors.y)


def test_your_own_network_with_a_test_set_of_its_own(pair):
    x, y = pair
    model, data = load(Own().train(), (x[:20], y[:20]), test=DataLoader(TensorDataset(x[20:], y[20:]), batch_size=8))
    assert not model.training
    assert (data.name, len(data.validation), len(data.test), data.train) == ("Own", 20, 40, None)
    np.testing.assert_array_equal(data.test.x, x[20:].numpy())


def test_your_own_network_without_a_test_set_has_two_thirds_set_aside(pair, vectors):
    _, data = load(Own(), DataLoader(TensorDataset(*pair), batch_size=16))
    assert (len(data.validation), len(data.test)) == (20, 40)
    together = np.concatenate([data.validation.x, data.test.x])
    assert {row.tobytes() for row in together} == {row.tobytes() for row in vectors.x}


def test_your_own_weights(tmp_path, pair):
    written = Own()
    save_model(written, tmp_path / "own.safetensors")
    model, _ = load(Own(), pair, weights=tmp_path / "own.safetensors")
    assert weights_hash(model) == weights_hash(written)


def test_labels_and_inputs_keep_their_types(pair):
    x, y = pair
    found = examples((x.bfloat16(), y.to(torch.uint8)))
    assert (found.x.dtype, found.y.dtype) == (np.float32, np.int64)
    assert examples((x.double(), y.int())).x.dtype == np.float64


# sentences


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (
            lambda: load("mnist-cn"),
            r"must be one of 'mnist-cnn', 'mnist-vit', 'digits-mlp'; got 'mnist-cn'.*mean 'mnist-cnn'",
        ),
        (
            lambda: load("digits-mlp", weights="without-9"),
            "`weights` must be one of 'trained', 'trained-1', 'trained-2', 'initial'; got 'without-9'",
        ),
        (lambda: load(3), r"must be a name \(mnist-cnn, mnist-vit, digits-mlp\) or an nn.Module; got int"),
        (lambda: load(Own), "an nn.Module; got type"),
        (lambda: load(Own()), "`data` must come with your own model: a DataLoader or a pair"),
        (lambda: load(Own(), []), "at least one example; got none"),
        (lambda: load(Own(), 5), r"pairs \(x, y\) of tensors; got int"),
        (lambda: load(Own(), (torch.ones(3, 12), torch.zeros(2).long())), "got 3 inputs and 2 labels"),
        (lambda: load(Own(), (torch.ones(0, 12), torch.zeros(0).long())), "at least one example; got none"),
        (lambda: load(Own(), (torch.ones(3, 12), torch.eye(3, 4))), r"class number; got labels of shape \(3, 4\)"),
        (lambda: load(Own(), torch.ones(4, 12)), r"pairs \(x, y\) of tensors; got Tensor"),
    ],
)
def test_what_cannot_be_loaded_is_told(ask, words):
    with pytest.raises(InputError, match=words):
        ask()


def test_a_loader_without_labels_is_told():
    with pytest.raises(InputError, match=r"pairs \(x, y\) of tensors; got Tensor"):
        load(Own(), DataLoader(torch.ones(6, 12), batch_size=2))


def test_a_dataset_of_single_examples_is_sent_to_a_loader(pair):
    with pytest.raises(InputError, match="Put a Dataset into a DataLoader"):
        load(Own(), TensorDataset(*pair))
