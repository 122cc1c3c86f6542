"""`mnist-cnn` on all its test images: what a measurement after every release costs at the least."""

import time
from statistics import median

from benchmarks.figures import Figure
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.models.zoo import load


def run() -> list[Figure]:
    model, data = load("mnist-cnn")
    times = []
    for _ in range(9):
        start = time.perf_counter()
        predictions(model, data.test)
        times.append(time.perf_counter() - start)
    return [Figure(f"mnist-cnn on {len(data.test):,} test images, one thread", median(times), "s", 0.4)]
