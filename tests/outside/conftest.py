"""Where the networks of others are found; none of them is fetched from anywhere."""

import importlib
import socket
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def others():
    """The module of networks as others build them."""
    sys.path.insert(0, str(HERE))
    try:
        return importlib.import_module("networks_of_others")
    finally:
        sys.path.remove(str(HERE))


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a network was looked up outside")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
