"""The kit's own: the files it ships, its notebooks, its language."""

import hashlib
import json
import os
from pathlib import Path

from lowrank_kit.checks import InputError
from lowrank_kit.doctor.findings import Finding, Say, listed
from lowrank_kit.files import PACKAGE, shipped
from lowrank_kit.i18n import LANGUAGES, default_language

__all__ = ["MANIFEST", "cure_shipped", "data", "language", "notebooks"]

MANIFEST = "SHA256SUMS"


def data(say: Say) -> Finding:
    """Every file of the manifest is there and holds what it held when it was made."""
    folder = shipped("data")
    lines = shipped("data", MANIFEST).read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
    damaged = [name for name, digest in sums.items() if _digest(folder / name) != digest]
    if damaged:
        return Finding("data", "fault", say("data_damaged", names=listed(damaged, say)), cure_shipped(say))
    size = sum((folder / name).stat().st_size for name in sums)
    return Finding("data", "ok", say("data_whole", n=len(sums), size=f"{size / 1e6:.1f}"))


def notebooks(say: Say) -> Finding:
    """Every stored notebook is one."""
    folder = shipped("notebooks")
    paths = [path for path in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    damaged = [path.relative_to(folder).as_posix() for path in paths if not _is_notebook(path)]
    if damaged or not paths:
        names = listed(damaged or ["*.ipynb"], say)
        return Finding("notebooks", "fault", say("notebooks_damaged", names=names), cure_shipped(say))
    return Finding("notebooks", "ok", say("notebooks_whole", n=len(paths)))


def language(say: Say) -> Finding:
    """The boards' language, which an unknown one stops."""
    asked = os.environ.get("LOWRANK_KIT_LANG", "")
    try:
        spoken = default_language()
    except InputError:
        cure = say("cure_language", known=listed([*LANGUAGES], say))
        return Finding("language", "fault", say("language_unknown", value=asked), cure)
    return Finding("language", "ok", say("language_set" if asked else "language_unset", language=spoken))


def cure_shipped(say: Say) -> str:
    """How a file of the kit's own comes back: in a checkout by git, else with the kit."""
    return say("cure_installed" if shipped("data").is_relative_to(PACKAGE) else "cure_checkout")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _is_notebook(path: Path) -> bool:
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        return notebook["nbformat"] == 4 and isinstance(notebook["cells"], list)
    except (OSError, ValueError, LookupError, TypeError):
        return False
