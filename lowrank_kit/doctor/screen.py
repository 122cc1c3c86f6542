"""Findings as lines of text: never wider, and never more, than a terminal shows at once."""

import re
import unicodedata
from collections.abc import Sequence

from lowrank_kit.doctor.findings import Finding, Say, State

__all__ = ["LINES", "WIDTH", "columns", "screen", "wrapped"]

LINES, WIDTH = 24, 100
GAP, ARROW = "  ", "  -> "
STATES: tuple[State, ...] = ("ok", "warning", "fault")
# A word in Latin letters stays whole; Japanese breaks anywhere but before a mark that closes, after one that opens.
PIECE = re.compile(r"\s+|[「(]*(?:[!-~]+|.)[、。」)]*")


def screen(findings: Sequence[Finding], say: Say, width: int = WIDTH) -> list[str]:
    """The lines below the title, at most LINES - 1 of them and each of at most `width` columns.

    Where every finding with its cure would take more, those in order share a line and faults come before warnings; in
    the end the last of them are only counted.
    """
    blocks, room = [_block(finding, findings, say, width) for finding in findings], LINES - 2
    if _height(blocks) > room:
        blocks = _condensed(findings, say, width, room)
    return [line for block in blocks for line in block] + [_summary(findings, say)]


def columns(text: str) -> int:
    """How many columns of a terminal the text takes: two for a Japanese letter, none for an accent put on another."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text if not unicodedata.combining(c))


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` columns, an empty one for no text; its own line breaks stay.

    >>> wrapped("close other programs", 12), wrapped("メモリが足りません。", 9)
    (['close other', 'programs'], ['メモリが', '足りませ', 'ん。'])
    """
    return [line for part in text.split("\n") for line in _broken(part, width)]


def _broken(text: str, width: int) -> list[str]:
    lines = [""]
    for piece in PIECE.findall(text):
        if lines[-1] and columns(lines[-1] + piece.rstrip()) > width:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        if lines[-1] or not piece.isspace():
            lines[-1] += piece
        while columns(lines[-1].rstrip()) > width:  # one word, a path for instance, longer than a line
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return lines


def _block(finding: Finding, findings: Sequence[Finding], say: Say, width: int) -> list[str]:
    names = max(columns(say(f"name_{other.name}")) for other in findings)
    head = _state(finding.state, say) + _padded(say(f"name_{finding.name}"), names) + GAP
    return _hung(head, finding.found, width) + (_hung(ARROW, finding.cure, width) if finding.cure else [])


def _condensed(findings: Sequence[Finding], say: Say, width: int, room: int) -> list[list[str]]:
    fine = [say(f"name_{finding.name}") for finding in findings if finding.state == "ok"]
    blocks = [_hung(_state("ok", say), say("comma").join(fine), width)] if fine else []
    worst = sorted((finding for finding in findings if finding.state != "ok"), key=lambda f: f.state == "warning")
    for i, finding in enumerate(worst):
        block, left = _block(finding, findings, say, width), len(worst) - i
        if _height(blocks) + len(block) + (left > 1) > room:  # a line for the count, but for the last one
            return [*blocks, [say("unshown", n=left)]]
        blocks.append(block)
    return blocks


def _summary(findings: Sequence[Finding], say: Say) -> str:
    faults, warned = (sum(finding.state == state for finding in findings) for state in ("fault", "warning"))
    if not faults:
        return say("ready_warned", warnings=_counted(warned, "warning", say)) if warned else say("ready")
    return say("not_ready", faults=_counted(faults, "fault", say), warnings=_counted(warned, "warning", say))


def _counted(n: int, kind: str, say: Say) -> str:
    return say(f"{kind}_one" if n == 1 else f"{kind}_many", n=n)


def _state(state: State, say: Say) -> str:
    return _padded(say(f"state_{state}"), max(columns(say(f"state_{other}")) for other in STATES)) + GAP


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))


def _hung(head: str, text: str, width: int) -> list[str]:
    """`head`, and the text to the right of it."""
    first, *rest = wrapped(text, width - columns(head))
    return [f"{head}{first}".rstrip(), *(" " * columns(head) + line for line in rest)]


def _height(blocks: list[list[str]]) -> int:
    return sum(map(len, blocks))
