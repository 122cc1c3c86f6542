"""Records a longer training for the player: `python data/course.py`.

The training player's own recipe on mnist-cnn for 20 epochs, and the same without factors to compare with. Every row is
thinned to one in four, and those at which accuracy was looked at. Writes data/adaptive/mnist-cnn.safetensors.
"""

from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from lowrank_kit.files import write_arrays
from lowrank_kit.measurement.measure import measure
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.training import Training, one_cycle
from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.networks import mnist_cnn
from lowrank_kit.models.zoo import load
from lowrank_kit.records import Trajectory
from lowrank_kit.widgets.course import Course, Recipe

TOLERANCE, EVERY = 0.3, 4
RECIPE = Recipe(epochs=20, seed=0)
PATH = Path(__file__).parent / "adaptive" / "mnist-cnn.safetensors"


def start(recipe):
    """As the player makes it: new weights from the seed."""
    torch.manual_seed(recipe.seed)
    return channels_last(mnist_cnn())


def dense(data, recipe):
    """The network without factors, by the same recipe, on the test images."""
    smoothed = partial(F.cross_entropy, label_smoothing=recipe.label_smoothing)
    training = Training(start(recipe), recipe.optimiser, loss=smoothed, schedule=one_cycle)
    batches = Batches.of(data.train, size=recipe.batch, seed=recipe.seed)
    for _ in tqdm(training.run(batches, recipe.epochs), total=recipe.epochs * len(batches), desc="dense"):
        pass
    return measure(training.model.eval(), data, label="dense", latency_budget_s=0)


def thinned(trajectory):
    known = ~np.isnan(trajectory["accuracy"])
    known[::-EVERY] = True
    arrays = {name: np.asarray(values)[known].astype(np.float32) for name, values in trajectory.arrays.items()}
    recorded = f"{date.today()}, {device_name(torch.device('cpu'))}, torch {torch.__version__}, 1 thread"
    facts = {**trajectory.facts, "recorded": recorded}
    return Trajectory(trajectory.name, trajectory.steps[known], arrays, trajectory.layers, facts)


def record(data, recipe, path):
    """The finished course, whose thinned trajectory is then in the file."""
    course = Course(start(recipe), data, recipe.adaptation(TOLERANCE, None), recipe, dense=dense(data, recipe))
    with tqdm(total=course.training.total, desc="adaptive") as bar:
        while course.advance():
            bar.update(course.training.steps - bar.n)
    path.parent.mkdir(exist_ok=True)
    write_arrays(path, *thinned(course.trajectory).to_arrays())
    return course


def main():
    course = record(load("mnist-cnn")[1], RECIPE, PATH)
    print(course.record, course.record.change(course.dense), sep="\n")


if __name__ == "__main__":
    main()
