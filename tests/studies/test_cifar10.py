"""The table of CIFAR-10 runs tells what was published, however little that is yet."""

import json

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.files import write_arrays
from lowrank_kit.records import Trajectory
from lowrank_kit.studies.cifar10 import Cifar10Runs


def row(method, setting, seed, test, conv_params=1000):
    found = {"method": method, "setting": setting, "seed": seed, "test": test, "conv_params": conv_params}
    return found | {"params": conv_params + 10, "macs": 5 * conv_params, "predictions": "0" * 50}


def published(folder, *rows):
    facts = {"network": "vgg8", "recipe": {"epochs": 3}, "recorded": "then, there", "images": "official", "rows": rows}
    (folder / "cifar10-vgg8.json").write_text(json.dumps(facts), encoding="utf-8")
    return Cifar10Runs.read("vgg8", folder)


def test_one_seed_has_an_interval_over_images(tmp_path):
    found = published(tmp_path, row("tdlrt", 0.2, 0, 0.7, 50), row("dense", None, 0, 0.8))
    head, dense, adaptive, *legend = found.as_text().splitlines()
    assert head.split()[:2] == ["method", "seeds"]
    assert dense.startswith("dense      1      80.00% [67.0%, 88.8%]")
    assert "-10.00 " in adaptive and "95.0%" in adaptive and "250" in adaptive
    assert "vgg8, 3 epochs" in legend[0] and "50 test images" in legend[1] and legend[-1].endswith("then, there.")


def test_several_seeds_have_an_interval_over_seeds(tmp_path):
    rows = [row("dense", None, s, 0.8) for s in (0, 1)] + [row("tdlrt", 0.2, s, 0.7 + 0.01 * s) for s in (0, 1)]
    line = published(tmp_path, *rows).as_text().splitlines()[2]
    assert "-9.50 [-15.85, -3.15]" in line and "70.50%  " in line


def test_without_the_dense_network_there_is_no_change(tmp_path):
    line = published(tmp_path, row("tdlrt", 0.05, 0, 0.7)).as_text().splitlines()[1]
    assert line.startswith("tdlrt 0.05") and "+" not in line


def test_the_dense_network_comes_first_and_mild_settings_before_hard_ones(tmp_path):
    rows = [row(m, s, 0, 0.5) for m, s in (("fixed", 0.2), ("tdlrt", 0.3), ("tdlrt", 0.05), ("dense", None))]
    assert published(tmp_path, *rows).methods == [("dense", None), ("tdlrt", 0.05), ("tdlrt", 0.3), ("fixed", 0.2)]


def test_a_trajectory_says_where_it_was_recorded(tmp_path):
    found = published(tmp_path, row("tdlrt", 0.2, 0, 0.7))
    ranks = np.array([[[4.0, 2.0]], [[np.nan, np.nan]]])
    trajectory = Trajectory("vgg8", np.array([0, 5]), {"loss": np.array([2.0, np.nan]), "ranks": ranks}, ("conv",))
    write_arrays(tmp_path / "cifar10-vgg8-0.2.safetensors", *trajectory.to_arrays())
    read = found.trajectory(0.2)
    assert read.facts["recorded"] == "then, there"
    assert (read.facts["test"]["accuracy"], read.facts["test"]["n"]) == (0.7, 50)
    assert read["ranks"].tolist() == [[[4, 2]], [[4, 2]]] and np.isnan(read["loss"][1])
    with pytest.raises(InputError, match=r"published run, 0\.2; got 0\.9"):
        found.trajectory(0.9)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": []}', '{"rows": [{"method": "dense"}]}'])
def test_says_what_is_wrong(tmp_path, text):
    with pytest.raises(InputError, match="must be a file that"):
        Cifar10Runs.read("vgg8", tmp_path)
    (tmp_path / "cifar10-vgg8.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="must be a file that"):
        Cifar10Runs.read("vgg8", tmp_path)
