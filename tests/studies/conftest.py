"""Studies of networks that take no time, and where their module is found."""

import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import pytest
from joblib.parallel import ThreadingBackend

from lowrank_kit.studies.grid import Study

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    yield
    sys.modules.pop("tiny_networks", None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.sqlite"


@pytest.fixture
def study():
    """Six cells of one network, from two seeds; the last budget can't be reached."""
    return Study(["tiny_networks:mlp"], budgets=[0.9, 0.6, 0.01], seeds=[0, 1], name="tiny")


@pytest.fixture
def raw():
    """Everything in a table, as SQLite itself gives it."""

    def rows(path, table="cells"):
        connection = sqlite3.connect(path)
        found = connection.execute(f"SELECT * FROM {table}").fetchall()
        connection.close()
        return sorted(found, key=repr)

    return rows


@pytest.fixture
def backends():
    """Two backends that joblib did not know, as clusters register theirs; one can't hand over results singly."""

    class Ours(ThreadingBackend):
        def submit(self, func, callback=None):
            used.add("ours")
            return super().submit(func, callback)

    class ListsOnly(ThreadingBackend):
        supports_return_generator = False

        def submit(self, func, callback=None):
            used.add("lists only")
            return super().submit(func, callback)

    used = set()
    joblib.register_parallel_backend("ours", Ours)
    joblib.register_parallel_backend("lists only", ListsOnly)
    return SimpleNamespace(used=used)
