"""Tables of recorded times as CSV files, a file for each device, with its ceilings beside it."""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from lowrank_kit.checks import InputError
from lowrank_kit.files import shipped, write_beside
from lowrank_kit.records import Ceilings, LatencyTable, RecordedTime

__all__ = [
    "FOLDER",
    "ceilings_name",
    "latency_tables",
    "read_ceilings",
    "read_table",
    "table_name",
    "write_ceilings",
    "write_table",
]

# A dtype and a precision, which follow the device's name.
ENDING = r"[a-z0-9]+-[a-z0-9]+\.json"
# Where this machine keeps what it records of itself.
FOLDER = Path("~/.cache/lowrank_kit/latency").expanduser()


def latency_tables(folders: Sequence[Path] | None = None) -> tuple[LatencyTable, ...]:
    """The table of every device there is one of, this machine's own in place of a shipped one of the same name.

    `folders` are looked into in this order, by default :data:`FOLDER` and what comes with the kit. Raises InputError
    where there is no table, or one or its ceilings are damaged.
    """
    places = (FOLDER, shipped("data", "latency")) if folders is None else folders
    paths = {path.name: path for place in reversed(places) for path in sorted(place.glob("*.csv"))}
    if not paths:
        looked = ", ".join(map(str, places))
        raise InputError(f"no recorded times in {looked}; `lowrank-kit record-latency` records this machine's.")
    return tuple(_read(path) for path in paths.values())


def _read(path: Path) -> LatencyTable:
    rows = read_table(path)
    if not rows:
        raise InputError(f"{path} must hold recorded times; it has none.")
    name = re.compile(f"{re.escape(path.stem)}-{ENDING}")
    beside = (found for found in sorted(path.parent.glob("*.json")) if name.fullmatch(found.name))
    return LatencyTable(rows, tuple(read_ceilings(found, rows[0].device) for found in beside))


def table_name(device: str) -> str:
    """The file of a device's table.

    >>> table_name("NVIDIA H100 80GB HBM3")
    'nvidia-h100-80gb-hbm3.csv'
    """
    return f"{_short(device)}.csv"


def ceilings_name(device: str, dtype: str, precision: str) -> str:
    """The file of a device's ceilings, beside its table.

    >>> ceilings_name("NVIDIA H100 80GB HBM3", "float32", "tf32")
    'nvidia-h100-80gb-hbm3-float32-tf32.json'
    """
    return f"{_short(device)}-{dtype}-{precision}.json"


def _short(device: str) -> str:
    return re.sub("[^a-z0-9]+", "-", device.lower()).strip("-")


def read_table(path: Path) -> tuple[RecordedTime, ...]:
    """Raises InputError where the file is missing, damaged, or has other columns."""
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
        lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise InputError(
            f"{path} must be a table that `lowrank-kit record-latency` wrote; it is not ({fault})."
        ) from None
    try:
        RecordedTime.check_columns(reader.fieldnames or ())
        return tuple(map(RecordedTime.from_text, lines))
    except InputError as fault:
        raise InputError(f"{path}: {fault}") from None


def write_table(path: Path, rows: Iterable[RecordedTime]) -> None:
    """Raises InputError where the file can't be written."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, RecordedTime.columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.to_text() for row in rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_beside(path, lambda part: part.write_text(text.getvalue(), encoding="utf-8"))
    except OSError as fault:
        raise InputError(f"{path} can't be written: {fault}.") from None


def read_ceilings(path: Path, device: str) -> Ceilings:
    """Raises InputError where the file is damaged, or the ceilings are not this device's."""
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
        found = Ceilings(**{**words, "copies": tuple((float(n), float(rate)) for n, rate in words["copies"])})
        found.copies[0]
    except (OSError, ValueError, TypeError, KeyError, IndexError) as fault:
        raise InputError(
            f"{path} must hold ceilings that were measured; delete it to measure anew ({fault})."
        ) from None
    if found.device != device:
        raise InputError(f"{path} holds the ceilings of {found.device}, not of {device}; delete it to measure anew.")
    return found


def write_ceilings(path: Path, found: Ceilings) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(found), indent=1) + "\n"
    write_beside(path, lambda part: part.write_text(text, encoding="utf-8"))
