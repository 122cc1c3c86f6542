"""Tables hold what every layer reads, and what cutting it alone predicts."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.activations import layer_inputs
from lowrank_kit.methods.latent_tables import latent_tables, probabilities_by_rank
from lowrank_kit.models.surgery import Factorisation, compress
from lowrank_kit.records import Examples


class Reader(nn.Module):
    """A small transformer on sequences of vectors (n, 5, 6)."""

    def __init__(self):
        super().__init__()
        self.up = nn.Linear(6, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.up(x)
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        return self.head(x.mean(1))


@pytest.fixture
def reader():
    torch.manual_seed(0)
    return Reader().eval()


@pytest.fixture
def sequences(rng):
    return Examples(rng.standard_normal((150, 5, 6)).astype(np.float32), rng.integers(0, 3, 150))


@pytest.fixture
def grouped():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(540, 4)).eval()


def predicted(model, examples):
    with torch.inference_mode():
        return model(torch.from_numpy(examples.x)).softmax(1).numpy()


def by_rank(factorisation, layer, ranks, examples):
    found = probabilities_by_rank(factorisation, layer, ranks, examples)
    return [probabilities for probabilities in found if probabilities is not None]


def test_coordinates_of_a_linear_layer_are_its_inputs_in_its_singular_directions(mlp, vectors):
    factorisation = Factorisation(mlp)
    tables = latent_tables(factorisation, vectors, name="mlp")
    assert [(t.name, t.shape, t.groups) for t in tables.layers] == [
        ("0", (16, 12), 1),
        ("2", (10, 16), 1),
        ("4", (4, 10), 1),
    ]
    inputs = layer_inputs(mlp, vectors.x)
    for table in tables.layers:
        _, S, Vh = np.linalg.svd(factorisation.layers[table.name].weight.detach().double().numpy(), full_matrices=False)
        z = inputs[table.name] @ (S[:, None] * Vh).T
        (part,) = factorisation.factors(table.name)
        signs = np.sign(np.sum(part.Vh * Vh, axis=1))
        np.testing.assert_allclose(table.coordinates, z * signs, atol=1e-5)
    np.testing.assert_array_equal(tables.labels, vectors.y)
    assert tables.name == "mlp"


def test_coordinates_of_a_convolution_are_averaged_over_its_positions(cnn, images):
    factorisation = Factorisation(cnn)
    tables = latent_tables(factorisation, images, name="cnn")
    inputs = layer_inputs(cnn, images.x)
    for name in ("0", "2", "4"):
        layer = factorisation.layers[name]
        walk = {"dilation": layer.dilation, "padding": layer.padding, "stride": layer.stride}
        patches = F.unfold(torch.from_numpy(inputs[name]), layer.kernel_size, **walk).numpy()  # (n, C k k, positions)
        (part,) = factorisation.factors(name)
        z = np.einsum("kc,ncp->npk", part.S[:, None] * part.Vh, patches).mean(axis=1)
        np.testing.assert_allclose(tables[name].coordinates, z, atol=1e-5)


def test_of_a_convolution_in_groups_a_rank_keeps_the_first_columns(grouped, images):
    factorisation = Factorisation(grouped)
    table = latent_tables(factorisation, images, name="grouped")["0"]
    assert (table.shape, table.groups, table.full_rank) == ((2, 9), 3, 2)
    assert table.coordinates.shape == (40, 6)
    # U z over the first columns alone is what the layer of that rank puts out, averaged over positions.
    for rank in (1, 2):
        parts = [part.truncate(rank) for part in factorisation.factors("0")]
        block = nn.Conv2d(3, 6, 3, groups=3, padding=1, bias=False)
        with torch.no_grad():
            block.weight.copy_(torch.from_numpy(np.concatenate([p.dense() for p in parts])).reshape(6, 1, 3, 3))
            expected = block(torch.from_numpy(images.x)).mean((2, 3)).numpy()
        z = table.coordinates[:, : rank * 3].reshape(40, rank, 3)
        found = np.stack([z[:, :, g] @ part.U.T for g, part in enumerate(parts)], axis=1).reshape(40, 6)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["0", "2", "4"])
def test_probabilities_are_those_of_the_network_with_that_layer_alone_cut(mlp, vectors, by_hand, name):
    factorisation = Factorisation(mlp)
    full = min(factorisation.layers[name].weight.shape)
    ranks = list(range(1, full + 1))
    found = by_rank(factorisation, name, ranks, vectors)
    for rank, probabilities in zip(ranks, found, strict=True):
        cut = compress(mlp, by_hand(mlp, {name: rank}), break_even_guard=False)
        np.testing.assert_allclose(probabilities, predicted(cut, vectors), atol=1e-5)
    dense = latent_tables(factorisation, vectors, name="mlp").dense
    np.testing.assert_allclose(dense, predicted(mlp, vectors), atol=1e-6)
    np.testing.assert_allclose(found[-1], dense, atol=1e-5)
    np.testing.assert_allclose(dense.sum(axis=1), 1, atol=1e-6)


def test_large_scores_become_probabilities_too(vectors):
    torch.manual_seed(0)
    loud = nn.Sequential(nn.Linear(12, 4))
    with torch.no_grad():
        loud[0].weight *= 1e4
    dense = latent_tables(Factorisation(loud), vectors, name="loud").dense
    assert np.isfinite(dense).all() and dense.max() == 1


def test_images_are_grey_between_black_and_white(cnn, images):
    found = latent_tables(Factorisation(cnn), images, name="cnn").images
    assert found.shape == (40, 9, 10) and found.dtype == np.float32
    assert (found.min(), found.max()) == (0, 1)
    mean = images.x.mean(axis=1)
    np.testing.assert_allclose(found, (mean - mean.min()) / (mean.max() - mean.min()), atol=1e-6)


def test_one_grey_is_an_image_too(rng):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    blank = Examples(np.full((6, 1, 4, 4), 0.7, dtype=np.float32), rng.integers(0, 3, 6))
    assert np.isfinite(latent_tables(Factorisation(model), blank, name="blank").images).all()


def test_vectors_are_no_images(mlp, vectors):
    assert latent_tables(Factorisation(mlp), vectors, name="mlp").images is None


def test_volumes_are_no_images(rng):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    volumes = Examples(rng.random((6, 1, 4, 2, 2)).astype(np.float32), rng.integers(0, 3, 6))
    assert latent_tables(Factorisation(model), volumes, name="volumes").images is None


def test_a_transformer_is_looked_into(reader, sequences, by_hand):
    factorisation = Factorisation(reader)
    tables = latent_tables(factorisation, sequences, name="reader")
    assert [t.name for t in tables.layers] == ["up", "attention.in_proj", "attention.out_proj", "head"]
    h = layer_inputs(reader, sequences.x)["attention.in_proj"]
    (part,) = factorisation.factors("attention.in_proj")
    z = (h @ (part.S[:, None] * part.Vh).T).mean(axis=1)
    np.testing.assert_allclose(tables["attention.in_proj"].coordinates, z, atol=1e-5)
    for name in ("attention.in_proj", "attention.out_proj"):
        for rank, found in zip((1, 5, 8), by_rank(factorisation, name, (1, 5, 8), sequences), strict=True):
            cut = compress(reader, by_hand(reader, {name: rank}), break_even_guard=False)
            np.testing.assert_allclose(found, predicted(cut, sequences), atol=1e-5)


def test_a_layer_that_is_passed_twice_or_never_is_left_out(rng):
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.twice, self.never, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.twice(torch.relu(self.twice(x))))

    few = Examples(rng.standard_normal((20, 6)).astype(np.float32), rng.integers(0, 3, 20))
    assert [t.name for t in latent_tables(Factorisation(Loop()), few, name="loop").layers] == ["head"]


def test_the_network_is_left_as_it_was(mlp, vectors, states):
    mlp.train()
    before = states(mlp)
    factorisation = Factorisation(mlp)
    latent_tables(factorisation, vectors, name="mlp")
    by_rank(factorisation, "2", (1, 3), vectors)
    assert states.same(before, states(mlp))


def test_a_network_without_a_layer_to_look_into_is_refused(rng):
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(2)

    few = Examples(rng.random((10, 3, 4)).astype(np.float32), rng.integers(0, 3, 10))
    with pytest.raises(InputError, match="`model` must have a linear or convolution layer"):
        latent_tables(Factorisation(Mean()), few, name="mean")


def test_labels_outside_the_classes_are_refused(mlp, vectors):
    with pytest.raises(InputError, match="between 0 and 3, the classes of the model's output"):
        latent_tables(Factorisation(mlp), Examples(vectors.x, vectors.y + 1), name="mlp")
