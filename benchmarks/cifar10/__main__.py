"""CIFAR-10 dense and in Tucker form: `python -m benchmarks.cifar10 [--network vgg16] [--device cuda --jobs 4]`.

Every run has a folder and goes on where it was stopped, by Ctrl-C or by --minutes. They are done seed by seed, so that
a table is whole for one seed early. `--publish` writes the table, the trajectories of the first seed and
the compressed networks to data/adaptive/.

The images are the official archive (--download fetches it, its hash is checked) or a folder of images.
"""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from itertools import product
from pathlib import Path

import torch

from benchmarks.cifar10.images import FOLDER, load
from benchmarks.cifar10.publish import publish
from benchmarks.cifar10.run import Recipe, Run, work

TOLERANCES = (0.05, 0.1, 0.2)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=FOLDER, help="the archive, or a folder of it or of images")
    parser.add_argument("--download", action="store_true", help="fetch the archive where it is missing")
    parser.add_argument("--out", type=Path, default=FOLDER / "runs", help="where runs keep what they need to go on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tolerances", type=float, nargs="+", default=TOLERANCES)
    parser.add_argument("--fixed", type=float, nargs="*", default=[], help="plain factors at these fractions of a mode")
    parser.add_argument("--dlrt", type=float, nargs="*", default=[], help="the matrix case at these tolerances")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share one device")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop at the end of an epoch after these")
    parser.add_argument("--publish", action="store_true", help="write what is finished to data/adaptive/")
    for option in fields(Recipe):
        parser.add_argument(f"--{option.name.replace('_', '-')}", type=type(option.default), default=option.default)
    return parser.parse_args()


def runs(given: argparse.Namespace) -> list[Run]:
    """Seed by seed, so that a table of one seed is whole early."""
    methods = [("dense", None), *(("tdlrt", t) for t in given.tolerances)]
    methods += [*(("fixed", s) for s in given.fixed), *(("dlrt", t) for t in given.dlrt)]
    return [Run(method, setting, seed) for seed, (method, setting) in product(given.seeds, methods)]


def main() -> None:
    given = arguments()
    recipe = Recipe(**{option.name: getattr(given, option.name) for option in fields(Recipe)})
    folder, end = given.out.expanduser() / recipe.network, time.time() + 60 * given.minutes
    if given.publish:
        publish(recipe.network, folder, given.images)
        return
    load(given.images, download=given.download)
    left = runs(given)
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.jobs, mp_context=spawned) as pool:
        begun = [pool.submit(work, run, recipe, given.images, folder / run.name, given.device, end) for run in left]
        for line in begun:
            print(line.result(), flush=True)


if __name__ == "__main__":
    main()
