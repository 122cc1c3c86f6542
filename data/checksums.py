"""Writes SHA256SUMS, by which `sha256sum -c SHA256SUMS` and `lowrank-kit doctor` tell whether the data arrived whole.

`python data/checksums.py`, last of all: after the data sets, the networks and the tables.
"""

import hashlib
from pathlib import Path

from lowrank_kit.files import write_beside

HERE = Path(__file__).parent
KINDS = {".npz", ".safetensors", ".json"}


def belong(folder):
    """Paths of what the kit ships, in an order that no system changes; a file half written is hidden."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix in KINDS)
    return sorted((p for p in paths if not any(part.startswith(".") for part in p.parts)), key=lambda p: p.as_posix())


def manifest(folder):
    """A line for each: its digest, two spaces, its path from `folder`."""
    digests = ((hashlib.sha256((folder / path).read_bytes()).hexdigest(), path.as_posix()) for path in belong(folder))
    return "".join(f"{digest}  {path}\n" for digest, path in digests)


if __name__ == "__main__":
    write_beside(HERE / "SHA256SUMS", lambda part: part.write_bytes(manifest(HERE).encode()))
