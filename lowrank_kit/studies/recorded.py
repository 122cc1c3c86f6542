"""Files of recorded trainings: facts that all share, and a row for each training."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lowrank_kit.checks import InputError
from lowrank_kit.studies.results import Row

__all__ = ["facts_and_rows"]


def facts_and_rows(path: Path, fields: Collection[str], *, maker: str) -> tuple[dict[str, Any], tuple[Row, ...]]:
    """What a file holds whose every row has these fields.

    Raises InputError, which names the script that makes such a file, where it is missing or something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(found.pop("rows"))
        if not rows or not all(row.keys() >= set(fields) for row in rows):
            raise ValueError("a row lacks what it needs, or there is none")
        return found, rows
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise InputError(f"{path} must be a file that {maker} wrote; it is not ({fault}).") from None
