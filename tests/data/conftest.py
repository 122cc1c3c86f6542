"""Where the scripts that made the data are found; they are no part of the package."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import lowrank_kit

DATA = Path(lowrank_kit.__file__).parent.parent / "data"


@pytest.fixture
def script():
    """Name -> the module of a script, not yet run."""

    def loaded(name):
        spec = spec_from_file_location(f"data_{name}", DATA / f"{name}.py")
        found = module_from_spec(spec)
        spec.loader.exec_module(found)
        return found

    return loaded
