"""Tables of recorded times as CSV files, a file for each device."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from lowrank_kit.checks import InputError
from lowrank_kit.files import write_beside
from lowrank_kit.records import RecordedTime

__all__ = ["ceilings_name", "read_table", "table_name", "write_table"]


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
