"""The arrows: what each room of the package may import, read from the source, imports inside functions included."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import lowrank_kit

PACKAGE = Path(lowrank_kit.__file__).parent
PROJECT = PACKAGE.parent

# From the bottom up; a room imports only what stands above it in this list.
ORDER = [
    {"checks"},
    {"records"},
    {"files", "i18n", "threads"},
    {"maths"},
    {"models"},
    {"measurement"},
    {"methods"},
    {"studies"},
    {"plots", "report"},
    {"server", "widgets"},
    {"lessons"},
    {"doctor"},
    {"cli"},
    {"__main__"},
]
BELOW = {room: set().union(*ORDER[:level]) for level, rooms in enumerate(ORDER) for room in rooms}
# They draw finished records, and never compute one.
BELOW["plots"] = BELOW["report"] = {"checks", "records", "files", "i18n"}

ONLY_IN = {
    "torch": {"models", "measurement", "methods", "studies", "widgets", "lessons", "doctor"},
    "ipywidgets": {"widgets"},
    "anywidget": {"widgets"},
    "matplotlib": {"plots", "report", "widgets", "lessons", "doctor"},
    "PIL": {"plots", "report"},
    "seaborn": {"plots", "report"},
    "joblib": {"studies"},
    "yaml": {"studies"},
}
# pyplot keeps a global state that a callback on another thread breaks; a pickle can run code when it is opened.
NEVER = {"matplotlib.pyplot", "pickle", "cloudpickle", "dill", "shelve", "marshal"}
# Of joblib only what runs tasks, and never the module itself, whose load, dump and Memory read and write pickles.
JOBLIB = {f"joblib.{name}" for name in ("Parallel", "delayed", "effective_n_jobs", "parallel_config")} | {
    "joblib.parallel.LokyBackend",
    "joblib.parallel.get_active_backend",
    "joblib.externals.loky.get_reusable_executor",
}
# What reads YAML without making objects of it.
YAML = {"safe_load", "compose", "SafeLoader", "YAMLError"}
# Needed without an import: two programs, and what shows an anywidget in both.
NOT_IMPORTED = {"jupyterlab", "voila", "ipywidgets"}
# The import's name where it is not the package's.
NAMES = {"ipython": "IPython", "pillow": "PIL", "pyyaml": "yaml"}

MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py" and "_shipped" not in path.parts
)


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Full names of what a module imports, `from a import b` as a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_rooms(path):
    return {name.split(".")[1] for name in imports(path) if name.startswith("lowrank_kit.")}


@pytest.fixture(params=MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def module(request):
    return request.param


def test_arrows_point_down(module):
    assert room(module) in BELOW, "a new room needs its place in ORDER"
    assert own_rooms(module) <= BELOW[room(module)] | {room(module)}


def test_nobody_inside_imports_the_window(module):
    names = set(imports(module))
    assert "lowrank_kit" not in names
    assert not names & {f"lowrank_kit.{verb}" for verb in lowrank_kit.__all__}


def test_libraries_stay_in_their_rooms(module):
    for name in imports(module):
        library = name.split(".")[0]
        assert room(module) in ONLY_IN.get(library, {room(module)}), f"{library} does not belong here"


def forbidden(path):
    """Imports and uses of what must not be in the package: pyplot, and what may run what it reads."""
    names = set(imports(path))
    yield from (name for name in names if any(name == bad or name.startswith(f"{bad}.") for bad in NEVER))
    yield from (name for name in names if name.split(".")[0] == "joblib" and name not in JOBLIB)
    yield from (name for name in names if name.startswith("yaml."))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "yaml" and node.attr not in YAML:
            yield f"yaml.{node.attr}"


def test_no_pyplot_and_nothing_that_runs_what_it_reads(module):
    assert set(forbidden(module)) == set()
    tree = ast.parse(module.read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec", "compile", "__import__"}


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("from joblib import Parallel, delayed, parallel_config", set()),
        ("from joblib import Parallel, load", {"joblib.load"}),
        ("from joblib import Memory", {"joblib.Memory"}),
        ("from joblib.numpy_pickle import load", {"joblib.numpy_pickle.load"}),
        ("import joblib\njoblib.load('weights')", {"joblib"}),
        ("def late():\n    from pickle import loads", {"pickle.loads"}),
        ("import yaml\nyaml.safe_load('a: 1')", set()),
        ("import yaml\nyaml.load('a: 1', yaml.UnsafeLoader)", {"yaml.load", "yaml.UnsafeLoader"}),
        ("from yaml import safe_load", {"yaml.safe_load"}),
        ("from matplotlib import pyplot", {"matplotlib.pyplot"}),
    ],
)
def test_the_rule_sees_what_it_forbids(tmp_path, code, seen):
    path = tmp_path / "module.py"
    path.write_text(code, encoding="utf-8")
    assert set(forbidden(path)) == seen


def test_the_window_imports_nothing_of_the_package_when_opened():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    at_once = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert at_once == {"importlib", "typing"}


@pytest.fixture
def declared():
    """The runtime dependencies of pyproject.toml, as they are imported."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = {re.split("[<>=~!]", line)[0].replace("-", "_") for line in project["dependencies"]}
    return {NAMES.get(package, package) for package in packages}


def test_every_imported_library_is_a_declared_dependency(declared):
    libraries = {name.split(".")[0] for path in MODULES for name in imports(path)} - {"lowrank_kit"}
    assert libraries - sys.stdlib_module_names <= declared


def test_every_declared_dependency_is_used(declared):
    sources = [*MODULES, *PROJECT.glob("data/*.py"), *PROJECT.glob("notebooks/**/*.ipynb")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    unused = {name for name in declared if not re.search(rf"\b(import|from) {name}\b", text)}
    assert unused <= NOT_IMPORTED
