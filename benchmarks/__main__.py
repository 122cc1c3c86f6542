"""`python -m benchmarks [startup decomposition board latent ...]`: all of them where none is named, on two cores."""

import argparse
import os
from importlib import import_module

from benchmarks.figures import table

BENCHMARKS = (
    "startup",
    "network",
    "decomposition",
    "tucker",
    "adaptive",
    "latency",
    "board",
    "latent",
    "player",
    "dynamics",
    "notebooks",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name")
    names = parser.parse_args().names or BENCHMARKS
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    figures = [figure for name in names for figure in import_module(f"benchmarks.{name}").run()]
    print(table(figures))
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
