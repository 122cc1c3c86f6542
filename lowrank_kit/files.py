"""Where the files the kit ships are, and how the kit writes its own."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowrank_kit.checks import InputError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read_arrays", "read_npz", "shipped", "write_arrays", "write_beside", "write_folder", "write_rows"]

PACKAGE = Path(__file__).parent


def shipped(*parts: str) -> Path:
    """The path of a shipped file or folder, `shipped("data", "mnist.npz")`, in a checkout and in a wheel alike.

    A wheel carries `data` and `notebooks` inside the package; a checkout has them beside it.
    """
    for root in (PACKAGE / "_shipped", PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise InputError(f"the kit's own file {'/'.join(parts)} is missing; install lowrank_kit again.")


def write_beside(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a path beside `path`, then rename: `path` holds the old content or the new, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_folder(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with an empty folder beside `path`, then rename: `path` is the old folder or the new, never a part.

    Nothing is lost where the machine stops in between: the old folder then lies beside, under a name with `.old`.
    """
    part, old = (path.with_name(f".{path.name}.{os.getpid()}.{kind}") for kind in ("part", "old"))
    part.mkdir(parents=True)
    try:
        write(part)
        if path.exists():
            path.rename(old)
        part.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_arrays(path: Path, words: Mapping[str, Any], arrays: Mapping[str, "np.ndarray"]) -> None:
    """Plain words and named arrays in one safetensors file."""
    import numpy as np
    from safetensors.numpy import save_file

    metadata = {"words": json.dumps(words)}
    # safetensors writes the memory behind a view as it lies there, whatever the view's order.
    ordered = {name: np.asarray(values, order="C") for name, values in arrays.items()}
    write_beside(path, lambda part: save_file(ordered, part, metadata=metadata))


def write_rows(path: Path, facts: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    """Facts and rows, a line each, in one JSON file, which people and version control can read."""
    head = json.dumps(dict(facts), indent=1).removesuffix("}").rstrip()
    lines = ",\n".join(f"  {json.dumps(dict(row))}" for row in rows)
    text = f'{head}{"," if facts else ""}\n "rows": [\n{lines}\n ]\n}}\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    write_beside(path, lambda part: part.write_text(text, encoding="utf-8"))


def read_arrays(path: Path) -> tuple[dict[str, Any], dict[str, "np.ndarray"]]:
    """What `write_arrays` wrote. Raises InputError where the file is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            words = json.loads(file.metadata()["words"])
            return words, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as fault:
        raise InputError(f"{path} must be a whole file of arrays; it is damaged ({fault}).") from None


def read_npz(path: Path) -> dict[str, "np.ndarray"]:
    """{name: array} of a file that `numpy.savez` wrote; nothing in it is run.

    Raises InputError where it is not there, is no such file, is damaged, or holds Python objects.
    """
    import numpy as np

    rule = f"{path} must be a file of arrays of numbers or words, as numpy.savez(path, x=..., y=...) writes it"
    if not zipfile.is_zipfile(path):
        raise InputError(f"{rule}; it is {'something else' if path.exists() else 'not there'}.")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as fault:  # zipfile, zlib and NumPy each have their own for a damaged file
        raise InputError(f"{rule}; it cannot be read ({fault}).") from None
