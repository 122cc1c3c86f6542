"""Full SVD factors of every layer, beside numpy.linalg.svd on the same matrices."""

import time
from collections.abc import Iterable

import numpy as np

from benchmarks.figures import Figure
from lowrank_kit.maths.matrix import factors
from lowrank_kit.models.inventory import factorable_layers
from lowrank_kit.models.low_rank import as_matrices
from lowrank_kit.models.zoo import load

# Outputs x inputs of VGG16's layers (Simonyan and Zisserman 2015, configuration D).
VGG16 = [
    (64, 27), (64, 576), (128, 576), (128, 1152), (256, 1152), (256, 2304), (256, 2304),
    (512, 2304), (512, 4608), (512, 4608), (512, 4608), (512, 4608), (512, 4608),
    (4096, 25088), (4096, 4096), (1000, 4096),
]  # fmt: skip


def run() -> list[Figure]:
    model, _ = load("mnist-cnn")
    small = [as_matrices(layer)[0] for layer in factorable_layers(model).values()]
    rng = np.random.default_rng(0)
    large = (rng.standard_normal(shape, dtype=np.float32) for shape in VGG16)
    return [*_figures("mnist-cnn", small, repeats=15), *_figures("VGG16-size random network", large, repeats=1)]


def _figures(name: str, matrices: Iterable[np.ndarray], *, repeats: int) -> list[Figure]:
    ours = theirs = worst = 0.0
    for matrix in matrices:
        runs = [_race(matrix) for _ in range(repeats)]
        ours += min(run[0] for run in runs)
        theirs += min(run[1] for run in runs)
        worst = max(worst, runs[0][2])
    return [
        Figure(f"factors of every layer of {name}, beside numpy ({theirs:.3g} s)", ours / theirs, "x its time", 0.5),
        Figure("  largest difference of singular values", worst, "of the largest", 1e-6),
    ]


def _race(matrix: np.ndarray) -> tuple[float, float, float]:
    start = time.perf_counter()
    found = factors(matrix)
    middle = time.perf_counter()
    values = np.linalg.svd(matrix, full_matrices=False).S
    end = time.perf_counter()
    return middle - start, end - middle, float(np.abs(found.S - values).max() / values[0])
