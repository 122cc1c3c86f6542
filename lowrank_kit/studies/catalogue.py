"""Layers of well-known networks, by their shapes: what times are recorded for.

VGG16 (Simonyan and Zisserman 2015, configuration D) and ResNet-50 (He et al. 2016, with the stride in the 3 x 3
convolution) on 224 x 224 images, ViT-B/16 (Dosovitskiy et al. 2021) on their 197 tokens, and BERT-base (Devlin et al.
2019) on 128, both without what lies before and behind their blocks. A shape that a network has several times is listed
once, under its first name. Beside them stand shapes drawn once at random, by which a model of times is fitted and
judged.
"""

import json
from collections.abc import Iterator

from lowrank_kit.files import shipped
from lowrank_kit.records import Layer, LayerShape

__all__ = ["CATALOGUE", "STAIRCASE", "drawn_layers", "networks"]


def _convolution(outputs: int, inputs: int, side: int, size: int, stride: int = 1) -> LayerShape:
    out = -(-size // stride)
    return LayerShape(outputs, inputs, (side, side), (size, size), (out, out))


def _linear(outputs: int, inputs: int, vectors: int = 1) -> LayerShape:
    return LayerShape(outputs, inputs, (), (vectors,), (vectors,))


def _vgg16() -> Iterator[tuple[str, LayerShape]]:
    before, size = 3, 224
    for stage, (channels, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for number in range(1, depth + 1):
            yield f"conv{stage}_{number}", _convolution(channels, before, 3, size)
            before = channels
        size //= 2
    for number, (outputs, inputs) in enumerate(((4096, 512 * 7 * 7), (4096, 4096), (1000, 4096)), 6):
        yield f"fc{number}", _linear(outputs, inputs)


def _resnet50() -> Iterator[tuple[str, LayerShape]]:
    yield "conv1", _convolution(64, 3, 7, 224, 2)
    before, size = 64, 56
    for stage, depth in enumerate((3, 4, 6, 3), 1):
        width = 64 * 2 ** (stage - 1)
        for block in range(depth):
            stride = 2 if stage > 1 and block == 0 else 1
            name = f"layer{stage}.{block}"
            yield f"{name}.conv1", _convolution(width, before, 1, size)
            yield f"{name}.conv2", _convolution(width, width, 3, size, stride)
            if block == 0:
                yield f"{name}.downsample", _convolution(4 * width, before, 1, size, stride)
            before, size = 4 * width, size // stride
            yield f"{name}.conv3", _convolution(4 * width, width, 1, size)
    yield "fc", _linear(1000, 2048)


def _encoder(depth: int, vectors: int, *, fused: bool) -> Iterator[tuple[str, LayerShape]]:
    """Blocks of width 768, as ViT-B and BERT-base have them."""
    for block in range(depth):
        for part in ("qkv",) if fused else ("query", "key", "value"):
            yield f"{block}.{part}", _linear(768 * (3 if fused else 1), 768, vectors)
        yield f"{block}.proj", _linear(768, 768, vectors)
        yield f"{block}.fc1", _linear(3072, 768, vectors)
        yield f"{block}.fc2", _linear(768, 3072, vectors)


def _counted(network: str, layers: Iterator[tuple[str, LayerShape]]) -> Iterator[Layer]:
    names: dict[LayerShape, list[str]] = {}
    for name, shape in layers:
        names.setdefault(shape, []).append(name)
    return (Layer(network, same[0], shape, len(same)) for shape, same in names.items())


CATALOGUE = (
    *_counted("vgg16", _vgg16()),
    *_counted("resnet50", _resnet50()),
    *_counted("vit-b16", _encoder(12, 197, fused=True)),
    *_counted("bert-base", _encoder(12, 128, fused=False)),
)

# The layer whose time is taken rank by rank.
STAIRCASE = next(layer for layer in CATALOGUE if (layer.network, layer.name) == ("resnet50", "layer3.1.conv2"))


def networks() -> dict[str, tuple[Layer, ...]]:
    """{network: its layers}, each shape once."""
    names = dict.fromkeys(layer.network for layer in CATALOGUE)
    return {name: tuple(layer for layer in CATALOGUE if layer.network == name) for name in names}


def drawn_layers(name: str) -> tuple[Layer, ...]:
    """The twenty shapes drawn at random that are "fitted" on, or the twenty others that are "held-out"."""
    rows = json.loads(shipped("data", "latency", "shapes.json").read_text(encoding="utf-8"))[name]
    shapes = (LayerShape(m, n, tuple(kernel), tuple(size), tuple(out)) for m, n, kernel, size, out in rows)
    return tuple(Layer(name, str(number), shape) for number, shape in enumerate(shapes))
