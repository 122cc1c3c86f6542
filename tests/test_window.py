"""The window: light to open, and every verb stays what it is whatever else was imported."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
HEAVY = {"torch", "matplotlib", "pandas", "ipywidgets", "tensorly", "seaborn", "anywidget", "scipy", "joblib", "yaml"}

LOOK_OUT = """
import sys, lowrank_kit
dir(lowrank_kit)
print(*sorted(set(sys.modules)))
"""

# A submodule of a verb's name would take the verb's place in the package as soon as it is imported.
WALK = """
import importlib, pkgutil, lowrank_kit
modules = [m.name for m in pkgutil.walk_packages(lowrank_kit.__path__, "lowrank_kit.")]
for name in modules:
    if not name.endswith("__main__"):
        importlib.import_module(name)
verbs = [name for name in lowrank_kit.__all__ if name != "__version__"]
print(len(modules), len(verbs), *[name for name in verbs if not callable(getattr(lowrank_kit, name))])
"""


def said(code, cwd=None):
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=cwd)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def words(code):
    return said(code).split()


def numbers(line):
    return [float(number) for number in NUMBER.findall(line)]


def test_importing_the_kit_loads_nothing_heavy():
    assert HEAVY & set(words(LOOK_OUT)) == set()


def test_importing_the_command_line_loads_nothing_heavy():
    assert HEAVY & set(words("import lowrank_kit.cli" + LOOK_OUT)) == set()


def test_no_submodule_shadows_a_verb():
    modules, verbs, *shadowed = words(WALK)
    assert shadowed == []
    assert int(modules) > 20
    assert int(verbs) > 10


def test_an_unknown_name_is_an_attribute_error():
    import lowrank_kit

    assert not hasattr(lowrank_kit, "no_such_verb")


def in_the_readme(kind):
    return re.findall(f"```{kind}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_readmes_taste_says_what_the_readme_prints():
    code, *_ = in_the_readme("python")
    (output,) = in_the_readme("text")
    *lines, change, speed = said(code).splitlines()
    *printed, printed_change, printed_speed = output.splitlines()
    # Accuracy may differ by an image or two between processors, the speed by anything.
    assert [line.split(" accuracy")[0] for line in lines] == [line.split(" accuracy")[0] for line in printed]
    assert NUMBER.sub("", change) == NUMBER.sub("", printed_change)
    assert numbers(change) == pytest.approx(numbers(printed_change), abs=0.3)
    assert NUMBER.sub("", speed) == NUMBER.sub("", printed_speed)
    # What the README argues from: the interval contains zero and ends short of a loss of one point.
    _, low, high, n = numbers(change)
    assert -1 < low < 0 < high
    assert n == 1000


def test_what_the_readme_saves_it_restores(tmp_path):
    code = in_the_readme("python")[1]
    compared = """
from lowrank_kit.models.inventory import weights_hash
print(weights_hash(small) == weights_hash(compress(network, tenth)))
"""
    assert said(code + compared, tmp_path).split() == ["True"]
    assert sorted(path.name for path in (tmp_path / "a-tenth").iterdir()) == ["network.safetensors", "plan.json"]
