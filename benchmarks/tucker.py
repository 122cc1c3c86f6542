"""Tucker-2 of the convolutions of a VGG16 at all ranks, beside TensorLy's partial_tucker at one choice of ranks."""

import time
import warnings

import numpy as np
from tensorly.decomposition import partial_tucker
from threadpoolctl import threadpool_limits

from benchmarks.figures import Figure
from lowrank_kit.maths.tensor import hosvd, mode_product, refine, truncation_errors
from lowrank_kit.records import TuckerFactors

# Outputs x inputs of its 3 x 3 convolutions (Simonyan and Zisserman 2015, configuration D).
VGG16 = [
    (64, 3), (64, 64), (128, 64), (128, 128), (256, 128), (256, 256), (256, 256),
    (512, 256), (512, 512), (512, 512), (512, 512), (512, 512), (512, 512),
]  # fmt: skip
# Singular values of both modes fall as k^-DECAY, about as those of the trained mnist-cnn: k^-0.38 to k^-0.47.
DECAY = 0.45


def run() -> list[Figure]:
    rng = np.random.default_rng(0)
    _race(_weight((64, 64), rng))  # what is slow only once
    ours, theirs, cut, refined = np.transpose([_race(_weight(shape, rng)) for shape in VGG16])
    seconds = f"({theirs.sum():.3g} s)"
    return [
        Figure(
            f"VGG16-size Tucker-2 at all ranks, beside one of TensorLy {seconds}",
            theirs.sum() / ours.sum(),
            "x as fast",
            20,
            floor=True,
        ),
        Figure("  largest error above TensorLy's, cut to half the ranks", 100 * cut.max(), "%", 5),
        Figure("  the same after two sweeps of refinement", 100 * refined.max(), "%", 0.5),
    ]


def _weight(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    weight = rng.standard_normal((*shape, 3, 3))
    for mode, n in enumerate(shape):
        turn = np.linalg.qr(rng.standard_normal((n, n)))[0]
        weight = mode_product(weight, turn * np.arange(1, n + 1) ** -DECAY, mode)
    return np.ascontiguousarray(weight, dtype=np.float32)


@threadpool_limits.wrap(limits=1)
def _race(weight: np.ndarray) -> tuple[float, float, float, float]:
    """Seconds with the errors at all ranks, TensorLy's seconds at half of each, and how much more errs what is cut."""
    half = tuple(max(n // 2, 1) for n in weight.shape[:2])
    start = time.perf_counter()
    full = hosvd(weight, 2)[0]
    errors = truncation_errors(full)
    middle = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ranks above what the other modes allow
        (core, factors), _ = partial_tucker(weight, rank=half, modes=[0, 1])
    end = time.perf_counter()
    best = _error(weight, TuckerFactors(core, tuple(factors)))
    refined = _error(weight, refine(weight, full.truncate(half)))
    return middle - start, end - middle, errors[half[0] - 1, half[1] - 1] / best - 1, refined / best - 1


def _error(weight: np.ndarray, found: TuckerFactors) -> float:
    return float(np.linalg.norm(weight - found.dense()) / np.linalg.norm(weight))
