"""Arrays as bytes of a database, little-endian, and back."""

import json
from dataclasses import asdict

import numpy as np

from lowrank_kit.records import Timing

__all__ = ["packed", "packed_timing", "unpacked", "unpacked_timing"]


def packed(classes: np.ndarray) -> bytes:
    """Classes (n,) from 0, each in as few bytes as the largest needs.

    >>> len(packed(np.array([0, 9, 255]))), len(packed(np.array([0, 9, 256])))
    (3, 6)
    """
    kind = np.min_scalar_type(int(classes.max(initial=0)))
    return classes.astype(kind.newbyteorder("<")).tobytes()


def unpacked(data: bytes, n: int) -> np.ndarray:
    """The n classes (n,) that `packed` wrote, int64."""
    return np.frombuffer(data, f"<u{len(data) // n}").astype(np.int64)


def packed_timing(timing: Timing) -> tuple[bytes, str]:
    """Raw times as bytes, four each, which is more digits than a clock has; and what they depend on as JSON."""
    conditions = asdict(timing)
    raw = conditions.pop("raw_s")
    return raw.astype("<f4").tobytes(), json.dumps(conditions)


def unpacked_timing(raw: bytes, conditions: str) -> Timing:
    """What `packed_timing` wrote."""
    return Timing(np.frombuffer(raw, "<f4").astype(np.float64), **json.loads(conditions))
