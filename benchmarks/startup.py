"""`import lowrank_kit`: its time beside an empty interpreter's, and what it must not bring along."""

import subprocess
import sys
import time
from statistics import median

from benchmarks.figures import Figure

HEAVY = ("torch", "matplotlib", "pandas", "ipywidgets", "tensorly")
ASK = f"import sys, lowrank_kit; print(sum(name in sys.modules for name in {HEAVY!r}))"


def run() -> list[Figure]:
    plain = median(_seconds("pass") for _ in range(7))
    kit = median(_seconds("import lowrank_kit") for _ in range(7))
    loaded = int(subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True).stdout)
    return [
        Figure("import lowrank_kit, beyond an empty interpreter", kit - plain, "s", 0.3),
        Figure(f"of {', '.join(HEAVY)} loaded by it", loaded, "libraries", 0),
    ]


def _seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start
