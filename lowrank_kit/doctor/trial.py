"""What only another process tries: a library that crashes or hangs takes only that process along.

`python -m lowrank_kit.doctor.trial STEP...` prints one line of JSON for each step it gets through.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

from lowrank_kit.doctor.findings import Say, TrialError, UntriedError, one_line

__all__ = ["STEPS", "Trial"]

PATIENCE_S = 90.0  # a first import, with a virus scanner looking on, takes its time
IMPORT = "import "


class Trial:
    """Steps in a process of their own, which is at work as soon as this exists.

    A step is "import NAME", whose value is the module's file, or one of STEPS.
    """

    def __init__(self, steps: Sequence[str], say: Say) -> None:
        self.steps, self.say = list(steps), say
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lowrank_kit.doctor.trial", *steps],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )

    def value(self, step: str) -> Any:
        """What the step returned. Raises TrialError where it did not; UntriedError where another step is to blame."""
        kind, told = self._answers[step]
        if kind == "value":
            return told
        raise (TrialError if kind == "fault" else UntriedError)(told)

    def close(self) -> None:
        """End it, wherever it is."""
        with self.process:
            self.process.kill()

    @cached_property
    def _answers(self) -> dict[str, tuple[str, Any]]:
        try:
            lines, said = self.process.communicate(timeout=PATIENCE_S)
            why = self._why(said)
        except subprocess.TimeoutExpired:
            self.process.kill()
            lines, said = self.process.communicate()
            why = self.say("trial_late", seconds=f"{PATIENCE_S:.0f}")
        answers = {step: (kind, told) for step, kind, told in map(json.loads, lines.splitlines())}
        return {**self._unreached(self.steps[len(answers) :], why), **answers}

    def _why(self, said: str) -> str:
        """What stopped a process that did not get through."""
        status = self.process.returncode
        last = (said.strip().splitlines() or [""])[-1]
        # A positive status comes with words (Python's own), a signal without.
        return last if status == 1 and last else self.say("trial_crashed", status=status)

    def _unreached(self, steps: list[str], why: str) -> dict[str, tuple[str, Any]]:
        after = {step: ("untried", self.say("trial_untried", step=steps[0])) for step in steps[1:]}
        return {**dict.fromkeys(steps[:1], ("fault", why)), **after}


def arithmetic() -> dict[str, Any]:
    """torch's version, and by which fraction U S Vh misses the matrix it came from (24, 16)."""
    import torch

    W = torch.randn(24, 16, generator=torch.Generator().manual_seed(0))
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return {"version": str(torch.__version__), "error": float(torch.dist(U * S @ Vh, W) / torch.linalg.norm(W))}


def threads() -> dict[str, int]:
    """How many threads torch and BLAS use once the kit has set them; 0 for a BLAS that does not say."""
    import torch
    from threadpoolctl import threadpool_info

    import lowrank_kit.models  # noqa: F401 (sets them)

    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {"torch": torch.get_num_threads(), "blas": max(blas, default=0)}


def gpu() -> dict[str, str]:
    """What torch was built for, the GPU it finds, and why that cannot compute; "" for each there is none of."""
    import torch

    found = {"cuda": torch.version.cuda or getattr(torch.version, "hip", None) or "", "name": "", "fault": ""}
    if torch.cuda.is_available():
        found["name"] = torch.cuda.get_device_name()
        try:
            (torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")).sum().item()
        except RuntimeError as fault:
            found["fault"] = one_line(fault)
    elif torch.backends.mps.is_available():
        found["name"] = "Apple (MPS)"
    return found


def font() -> dict[str, Any]:
    """The Japanese font that plots are drawn with, and whether it is there and has such letters."""
    import matplotlib as mpl
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    with mpl.rc_context():
        from matplotlib_fontja.matplotlib_fontja import FONT_NAME
    try:
        file = FT2Font(findfont(FONT_NAME, fallback_to_default=False))
    except (ValueError, OSError, RuntimeError):  # matplotlib's and FreeType's ways to say there is none
        return {"name": FONT_NAME, "complete": False}
    return {"name": FONT_NAME, "complete": file.get_char_index(ord("階")) > 0}


STEPS: dict[str, Callable[[], Any]] = {step.__name__: step for step in (font, arithmetic, threads, gpu)}


def main(steps: Sequence[str]) -> None:
    """Try each step and print [step, "value" or "fault", what it told]."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # what libraries print must not mix with the answers
        for step in steps:
            print(json.dumps([step, *_tried(step)]), file=answers, flush=True)


def _tried(step: str) -> tuple[str, Any]:
    try:
        if step.startswith(IMPORT):
            return "value", getattr(import_module(step.removeprefix(IMPORT)), "__file__", None)
        return "value", STEPS[step]()
    except (Exception, SystemExit) as fault:
        return "fault", one_line(fault)


if __name__ == "__main__":
    main(sys.argv[1:])
