"""All checks in order, and their screen."""

import io
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack, closing, redirect_stderr, redirect_stdout
from functools import partial
from importlib.metadata import PackageNotFoundError

from lowrank_kit.doctor import display, kit, libraries, machine
from lowrank_kit.doctor.findings import Finding, Say, examined, speaker
from lowrank_kit.doctor.screen import WIDTH, screen
from lowrank_kit.doctor.trial import Trial
from lowrank_kit.i18n import LANGUAGES

__all__ = ["diagnose", "examine"]

NARROWEST = 60


def diagnose(language: str | None = None) -> int:
    """Print the screen; the exit status is 1 where there is a fault, else 0.

    Without `language` it is the one that LOWRANK_KIT_LANG names, if the kit speaks it, else English; English also
    where the terminal has no Japanese letters.
    """
    say = speaker(_language(language or os.environ.get("LOWRANK_KIT_LANG", "")))
    system = " ".join((platform.system(), platform.release(), platform.machine()))
    _show(say("title", version=libraries.installed(libraries.KIT) or "?", system=system))
    findings = examine(say)
    _show(*screen(findings, say, _width()))
    return int(any(finding.state == "fault" for finding in findings))


def examine(say: Say) -> list[Finding]:
    """Every check in turn; what libraries print or warn of meanwhile is not heard."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for redirect in (redirect_stdout, redirect_stderr):
            stack.enter_context(redirect(io.StringIO()))
        busy = machine.busy_share()  # before the trials keep the machine busy
        trials = _trials(say, stack)
        findings: list[Finding] = []
        for name, check in _checks(say, trials, busy).items():
            ill = any(finding.name == "libraries" and finding.state == "fault" for finding in findings)
            findings.append(examined(name, check, say, without_libraries=ill))
        return findings


def _checks(say: Say, trials: dict[str, Trial], busy: float | None) -> dict[str, Callable[[], Finding]]:
    torch = trials["torch"]
    return {
        "python": partial(machine.python, say),
        "libraries": partial(libraries.libraries, say, trials),
        "pytorch": partial(libraries.pytorch, say, torch),
        "gpu": partial(machine.gpu, say, torch),
        "threads": partial(machine.threads, say, torch, busy),
        "memory": partial(machine.memory, say),
        "disk": partial(machine.disk, say),
        "data": partial(kit.data, say),
        "notebooks": partial(kit.notebooks, say),
        "language": partial(kit.language, say),
        "port": partial(machine.port, say),
        "browser": partial(display.browser, say),
        "browser_font": partial(display.browser_font, say),
        "plot_font": partial(display.plot_font, say, torch),
        "jupyterlab": partial(display.jupyterlab, say),
        "kernel": partial(display.kernel, say),
        "voila": partial(display.voila, say),
    }


def _trials(say: Say, stack: ExitStack) -> dict[str, Trial]:
    """{library: the trial that imports it}: two trials, at work side by side.

    NumPy comes first, since others rest on it, and torch after all that can do without it, since it may crash.
    """
    try:
        names = set(libraries.needs(libraries.KIT))
    except PackageNotFoundError:  # which the check of the libraries says
        names = set()
    programs = sorted(names & set(libraries.PROGRAMS))
    others = ["numpy", *sorted(names - {*programs, "numpy", "torch"})]
    steps = [*_imports(others), "font", "import torch", "arithmetic", "threads", "gpu"]
    main, beside = (stack.enter_context(closing(Trial(each, say))) for each in (steps, _imports(programs)))
    return {**dict.fromkeys(["torch", *others], main), **dict.fromkeys(programs, beside)}


def _imports(names: list[str]) -> list[str]:
    return [f"import {libraries.module_of(name)}" for name in names]


def _language(asked: str) -> str:
    """The language asked for, if the kit speaks it and standard output can write it."""
    language = asked if asked in LANGUAGES else LANGUAGES[0]
    letters = speaker(language)("state_fault")
    return language if _writable(letters) == letters else LANGUAGES[0]


def _width() -> int:
    # The old console of Windows puts an empty line after one that fills the last column.
    return min(WIDTH, max(NARROWEST, shutil.get_terminal_size((WIDTH, 24)).columns - (os.name == "nt")))


def _show(*lines: str) -> None:
    print(*map(_writable, lines), sep="\n", flush=True)


def _writable(text: str) -> str:
    """The text as standard output can write it, with ? for letters it cannot."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
