"""The networks for colour images: what they are made of, and what low rank finds in them."""

import pytest
import torch
from torch import nn

from lowrank_kit.measurement.cost import layer_macs, macs, n_params
from lowrank_kit.methods.planning import plan
from lowrank_kit.models.inventory import factorable_layers, head_of, inventory
from lowrank_kit.models.low_rank import LowRank, matrix_shape
from lowrank_kit.models.surgery import compress
from lowrank_kit.models.vision import Residual, resnet18, vgg8, vgg16

# (outputs, inputs, side of the kernel, side of the maps it puts out) of every convolution, written out.
VGG16 = [
    (64, 3, 3, 32), (64, 64, 3, 32),
    (128, 64, 3, 16), (128, 128, 3, 16),
    (256, 128, 3, 8), (256, 256, 3, 8), (256, 256, 3, 8),
    (512, 256, 3, 4), (512, 512, 3, 4), (512, 512, 3, 4),
    (512, 512, 3, 2), (512, 512, 3, 2), (512, 512, 3, 2),
]  # fmt: skip
VGG8 = [(24, 3, 3, 32), (48, 24, 3, 16), (96, 48, 3, 8), (96, 96, 3, 8), (192, 96, 3, 4), (192, 192, 3, 4)]
RESNET18 = [
    (64, 3, 3, 32), *[(64, 64, 3, 32)] * 4,
    (128, 64, 3, 16), (128, 128, 3, 16), (128, 64, 1, 16), *[(128, 128, 3, 16)] * 2,
    (256, 128, 3, 8), (256, 256, 3, 8), (256, 128, 1, 8), *[(256, 256, 3, 8)] * 2,
    (512, 256, 3, 4), (512, 512, 3, 4), (512, 256, 1, 4), *[(512, 512, 3, 4)] * 2,
]  # fmt: skip

# How each is built, its convolutions, the inputs of its head, its parameters and its multiply-adds.
NETWORKS = {
    "vgg16": (vgg16, VGG16, 512, 14_724_042, 313_201_664),
    "vgg8": (vgg8, VGG8, 768, 642_082, 19_250_688),
    "resnet18": (resnet18, RESNET18, 512, 11_173_962, 555_422_720),
}


def built(build):
    """Seeded, in eval mode, with norms that have seen images: as in a trained network, no layer's output dies away."""
    torch.manual_seed(0)
    model = build()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over all batches, which is one
    with torch.no_grad():
        model.train()(torch.rand(16, 3, 32, 32))
    return model.eval()


@pytest.fixture(scope="module")
def models():
    return {name: built(build) for name, (build, *_) in NETWORKS.items()}


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture
def model(name, models):
    return models[name]


@pytest.fixture
def x():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def scores(model, x):
    return model(x)


# what they are


def test_convolutions_are_those_of_the_papers(name, model):
    found = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert [(c.out_channels, c.in_channels, *c.kernel_size) for c in found] == [
        (m, n, k, k) for m, n, k, _ in NETWORKS[name][1]
    ]
    assert all(conv.bias is None for conv in found)


def test_parameters_by_hand(name, model):
    _, convolutions, features, expected, _ = NETWORKS[name]
    kernels = sum(m * n * k**2 for m, n, k, _ in convolutions)
    norms = sum(2 * m for m, *_ in convolutions)
    assert n_params(model) == kernels + norms + 10 * features + 10 == expected


def test_multiply_adds_by_hand(name, model, x):
    _, convolutions, features, _, expected = NETWORKS[name]
    kernels = sum(m * n * k**2 * side**2 for m, n, k, side in convolutions)
    assert macs(model, x.numpy()) == kernels + 10 * features == expected


def test_they_are_sequentials_of_named_layers(models):
    assert all(type(model) is nn.Sequential for model in models.values())
    of = "conv{0} bn{0} relu{0}".format
    stages = [of("1_1"), "pool1", of("2_1"), "pool2", of("3_1"), of("3_2"), "pool3", of("4_1"), of("4_2"), "pool4"]
    assert [n for n, _ in models["vgg8"].named_children()] == [*" ".join(stages).split(), "flatten", "head"]
    blocks = [f"block{s}_{i}" for s in (1, 2, 3, 4) for i in (1, 2)]
    names = ["conv1", "bn1", "relu1", *blocks, "mean", "flatten", "head"]
    assert [n for n, _ in models["resnet18"].named_children()] == names


@pytest.mark.parametrize("n_classes", [2, 10, 43])
def test_as_many_scores_as_classes(n_classes, name, x):
    assert scores(NETWORKS[name][0](n_classes).eval(), x).shape == (3, n_classes)


@pytest.mark.parametrize("width", [8, 32])
def test_a_width_counts_the_channels_of_the_first_stage(width, x):
    model = vgg8(width=width)
    convolutions = [module for module in model if isinstance(module, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [width * times for times in (1, 2, 4, 4, 8, 8)]
    assert scores(model, x).shape == (3, 10)


# what they compute


def test_every_parameter_learns(name, x):
    model = NETWORKS[name][0]()
    nn.functional.cross_entropy(model(x), torch.arange(3)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_images_are_told_apart_and_judged_alone(model, x):
    found = scores(model, x)
    assert found.std(0).min() > 1e-3
    torch.testing.assert_close(torch.cat([scores(model, image[None]) for image in x]), found, rtol=1e-4, atol=1e-5)


def test_channels_last_changes_nothing(name, model, x):
    twin = NETWORKS[name][0]().eval()
    twin.load_state_dict(model.state_dict())
    last = torch.channels_last
    found = scores(twin.to(memory_format=last), x.contiguous(memory_format=last))
    torch.testing.assert_close(found, scores(model, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [6, 9])
def test_a_block_is_the_sum_of_two_convolutions_and_a_shortcut(channels, stride):
    torch.manual_seed(2)
    block, x = Residual(6, channels, stride=stride).double(), torch.randn(4, 6, 8, 8, dtype=torch.float64)

    def normed(y):  # as BatchNorm in training mode, with neither scale nor shift
        return (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()

    with torch.no_grad():
        branch = nn.functional.conv2d(x, block.conv1.weight, stride=stride, padding=1)
        branch = normed(nn.functional.conv2d(normed(branch).clamp(min=0), block.conv2.weight, padding=1))
        if (channels, stride) == (6, 1):
            shortcut = x
        else:
            thinned = x[:, :, ::stride, ::stride]
            shortcut = normed(torch.einsum("mc,nchw->nmhw", block.shortcut.conv.weight[:, :, 0, 0], thinned))
        torch.testing.assert_close(block(x), (branch + shortcut).clamp(min=0), rtol=1e-10, atol=1e-10)


# what low rank finds in them


def test_every_convolution_is_found_and_the_head_is_last(name, model):
    layers = {n: m for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    assert len(layers) == len(NETWORKS[name][1]) + 1
    sites = inventory(model)
    assert {n: site.layer for n, site in sites.items()} == layers
    assert not any(site.reason or site.twin_of for site in sites.values())
    assert head_of(model) == "head"


def test_every_layer_runs_once_at_its_own_size(name, model, x):
    sides = [m * n * k**2 * side**2 for m, n, k, side in NETWORKS[name][1]]
    found = layer_macs(model, x.numpy())
    assert sorted(found.values()) == sorted([*sides, 10 * NETWORKS[name][2]])
    assert [*found][-1] == "head"


@pytest.mark.parametrize(
    ("name", "method"), [("vgg8", "svd"), ("vgg8", "spatial"), ("vgg16", "svd"), ("resnet18", "svd")]
)
def test_full_rank_computes_the_same(name, method, models, x, by_hand):
    model = models[name]
    layers = {n: layer for n, layer in factorable_layers(model).items() if isinstance(layer, nn.Conv2d)}
    ranks = {n: min(matrix_shape(layer, method)) for n, layer in layers.items()}
    small = compress(model, by_hand(model, ranks, method), break_even_guard=False)
    assert [n for n, m in small.named_modules() if isinstance(m, LowRank)] == [*layers]
    torch.testing.assert_close(scores(small, x), scores(model, x), rtol=1e-3, atol=1e-4)


def test_half_the_parameters_can_be_planned(name, model, x):
    half = plan(model, rule="energy", budget=0.5)
    small = compress(model, half)
    assert n_params(small) < 0.51 * n_params(model)
    assert "head" not in half.layers
    assert scores(small, x).shape == (3, 10)
