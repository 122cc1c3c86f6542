"""What pip installed: the libraries the kit depends on, their versions, and whether they load."""

import math
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from lowrank_kit.doctor.findings import Finding, Say, TrialError, UntriedError, listed
from lowrank_kit.doctor.trial import Trial

__all__ = [
    "KIT",
    "PROGRAMS",
    "installed",
    "libraries",
    "module_of",
    "needs",
    "pip_install",
    "python_command",
    "pytorch",
    "reinstall",
    "release",
]

KIT = "lowrank-kit"
# They bring a server each and take longest to load, so they are tried beside the others.
PROGRAMS = ("jupyterlab", "voila")
# The import's name where it is not the package's.
MODULES = {"ipython": "IPython", "pillow": "PIL", "scikit-learn": "sklearn", "pyyaml": "yaml"}
LONGEST = 75  # a longer command would not stay in one piece on 80 columns
ROUNDING = 1e-4


def libraries(say: Say, trials: Mapping[str, Trial]) -> Finding:
    """All there, new enough, and not broken; `trials` says for each name which trial imports it."""
    try:
        wanted = needs(KIT)
    except PackageNotFoundError:
        cure = say("cure_install", command=pip_install("-c", "constraints.txt", "."))
        return Finding("libraries", "fault", say("libraries_absent"), cure)
    there = {name: installed(name) for name in wanted}
    short = {name: has for name, has in there.items() if not has or release(has) < release(wanted[name])}
    if short:
        found = [_shortage(name, has, wanted[name], say) for name, has in short.items()]
        return Finding("libraries", "fault", listed(found, say), _cure({n: wanted[n] for n in short}, say))
    return _loaded(list(wanted), say, trials)


def pytorch(say: Say, trial: Trial) -> Finding:
    """It loads, and a decomposition puts its matrix together again."""
    again = reinstall("torch")
    try:
        own = _own_file(trial, "torch")
        told = {} if own else trial.value("arithmetic")
    except TrialError as fault:
        if isinstance(fault, UntriedError) or not installed("torch"):  # a fault of the libraries, told there
            raise
        windows = platform.system() == "Windows"
        cure = say("cure_torch_windows", command=again) if windows else _torch_hint(again, say)
        return Finding("pytorch", "fault", say("broken", name="PyTorch", reason=fault), cure)
    if own:  # likewise
        raise TrialError(own)
    values = {"version": told["version"], "error": f"{told['error']:.0e}"}
    if math.isfinite(told["error"]) and told["error"] < ROUNDING:
        return Finding("pytorch", "ok", say("pytorch_right", **values))
    return Finding("pytorch", "fault", say("pytorch_wrong", **values), again)


def needs(package: str) -> dict[str, str]:
    """{name: oldest version that will do} of a package's dependencies; "" where any will.

    Those with a condition belong to an extra, or to another system. The kit and the packages asked about here write
    a minimum as `>=` or `~=`, which is less than the package `packaging` can read - but that may itself be missing.

    Raises PackageNotFoundError.
    """
    plain = [line for line in requires(package) or () if ";" not in line]
    found = [re.match(r"([\w.-]+)[^<>=~!]*(?:.*?[>~]=\s*([\d.]+))?", line) for line in plain]
    return {match[1].lower().replace("_", "-"): match[2] or "" for match in found if match}


def installed(name: str) -> str:
    """The version of a package; "" where there is none, or one so broken that it does not say."""
    try:
        return version(name) or ""
    except (PackageNotFoundError, KeyError):
        return ""


def release(text: str) -> tuple[int, ...]:
    """The numbers of a version, to compare: "2.13.0+cpu" is (2, 13); () where there is none.

    >>> release("2.13.0+cpu") >= release("2.11"), release("0.9") < release("0.11"), release("") < release("0.1")
    (True, True, True)
    """
    match = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def module_of(name: str) -> str:
    """What a package is imported as."""
    return MODULES.get(name, name.replace("-", "_"))


def pip_install(*what: str) -> str:
    """The command for this Python and no other; requirements in quotes, which every shell understands."""
    quoted = [f'"{word}"' if re.search(r"[<>~ ]", word) else word for word in what]
    return " ".join([python_command(), "-m", "pip", "install", *quoted])


def reinstall(name: str) -> str:
    """The command that fetches a broken package again, in the same version, and no other."""
    same = installed(name).split("+")[0]  # "+cpu" is known to PyTorch's own index only
    return pip_install("--force-reinstall", "--no-deps", f"{name}=={same}" if same else name)


def python_command() -> str:
    """This Python as one types it here: its name where the shell finds it under that name, else its path."""
    own = Path(sys.executable)
    for name in ("python", "python3"):
        found = shutil.which(name)
        if found and os.path.normcase(found) == os.path.normcase(own):  # links stay: an environment's is one
            return name
    path = str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)
    return f'"{path}"' if " " in path else path


def _shortage(name: str, has: str, minimum: str, say: Say) -> str:
    return say("library_old", name=name, version=has, minimum=minimum) if has else say("library_missing", name=name)


def _cure(short: Mapping[str, str], say: Say) -> str:
    command = pip_install(*(f"{name}>={minimum}" if minimum else name for name, minimum in short.items()))
    # The installed kit counts as found, so pip brings what it lacks and nothing else.
    command = command if len(command) <= LONGEST else pip_install(KIT)
    return _torch_hint(command, say) if "torch" in short else command


def _torch_hint(command: str, say: Say) -> str:
    return say("cure_torch", command=command) if platform.system() == "Linux" else command


def _loaded(names: list[str], say: Say, trials: Mapping[str, Trial]) -> Finding:
    broken: dict[str, TrialError] = {}
    hidden: list[str] = []
    for name in names:
        try:
            hidden += filter(None, [_own_file(trials[name], name)])
        except UntriedError:
            continue
        except TrialError as fault:
            broken[name] = fault
    broken.pop("torch", None)  # has a line of its own
    if hidden:
        file = Path(hidden[0]).relative_to(Path.cwd()).parts[0]
        return Finding("libraries", "fault", say("library_hidden", file=file), say("cure_hidden", file=file))
    if broken:
        return _first_broken(broken, say)
    return Finding("libraries", "ok", say("libraries_right", n=len(names)))


def _first_broken(broken: Mapping[str, TrialError], say: Say) -> Finding:
    """The others often break with the first, and NumPy under all of them."""
    first = "numpy" if "numpy" in broken else next(iter(broken))
    found = say("broken", name=first, reason=broken[first])
    found = found if len(broken) == 1 else say("more", names=found, n=len(broken) - 1)
    return Finding("libraries", "fault", found, reinstall(first))


def _own_file(trial: Trial, name: str) -> str:
    """A file of the reader's own, torch.py in the working folder say, which is found before the library; else "".

    Raises TrialError where neither loads.
    """
    file = trial.value(f"import {module_of(name)}")
    return file if file and Path.cwd() in Path(file).parents[:2] else ""
