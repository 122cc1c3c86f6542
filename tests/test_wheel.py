"""The wheel carries what the kit ships, and finds it where it is installed."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import lowrank_kit

PROJECT = Path(lowrank_kit.__file__).parent.parent
WHERE = "from lowrank_kit.files import shipped; print(shipped('data', 'mnist.npz'))"
DATA = "from lowrank_kit.doctor import findings, kit; print(kit.data(findings.speaker('en')))"
LOAD = """
import lowrank_kit
model, data = lowrank_kit.load("digits-mlp")
print(lowrank_kit.__file__, len(data.test))
"""


def python(*arguments, cwd, path=""):
    environment = {**os.environ, "PYTHONPATH": str(path)}
    answer = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(PROJECT), cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    target = tmp_path_factory.mktemp("installed")
    python("-m", "pip", "install", "--no-index", "--no-deps", "--target", str(target), str(wheel), cwd=target)
    return target


def test_the_wheel_is_small(wheel):
    assert wheel.stat().st_size < 25e6


@pytest.mark.parametrize("folder", ["data", "notebooks"])
def test_the_wheel_carries_every_file_of(folder, wheel):
    ours = {path for path in (PROJECT / folder).rglob("*.*") if path.is_file()}
    ours = {path for path in ours if not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)}
    with zipfile.ZipFile(wheel) as archive:
        assert {f"lowrank_kit/_shipped/{path.relative_to(PROJECT)}" for path in ours} <= set(archive.namelist())


def test_the_wheel_carries_no_leftovers(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [n for n in names if "__pycache__" in n or ".ipynb_checkpoints" in n or n.endswith((".pyc", ".part"))] == []
    assert {n.split("/")[0] for n in names} == {"lowrank_kit", f"lowrank_kit-{lowrank_kit.__version__}.dist-info"}


def test_the_wheel_carries_the_page_template(installed):
    assert list((installed / "lowrank_kit" / "jupyter").rglob("index.html.j2"))


def test_an_installed_kit_finds_its_own_files(installed, tmp_path):
    found = Path(python("-c", WHERE, cwd=tmp_path, path=installed))
    assert found == installed / "lowrank_kit" / "_shipped" / "data" / "mnist.npz"


def test_an_installed_kit_finds_its_data_whole(installed, tmp_path):
    assert "state='ok'" in python("-c", DATA, cwd=tmp_path, path=installed)


def test_an_installed_kit_loads_a_network(installed, tmp_path):
    file, n_examples = python("-c", LOAD, cwd=tmp_path, path=installed).split()
    assert Path(file).is_relative_to(installed)
    assert n_examples == "500"


def test_a_checkout_finds_its_own_files(tmp_path):
    assert Path(python("-c", WHERE, cwd=tmp_path)) == PROJECT / "data" / "mnist.npz"
