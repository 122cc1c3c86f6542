"""What one check says: in order or not, what was found, and the cure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from lowrank_kit.i18n import strings

__all__ = ["Finding", "Say", "State", "TrialError", "UntriedError", "examined", "listed", "one_line", "speaker"]

State = Literal["ok", "warning", "fault"]
LONGEST = 160  # characters of somebody else's message


@dataclass(frozen=True)
class Finding:
    """The answer of one check; `cure` is "" where there is nothing to do."""

    name: str
    state: State
    found: str
    cure: str = ""


class TrialError(RuntimeError):
    """What was tried in another process failed; the message says why."""


class UntriedError(TrialError):
    """Something else ended that process before."""


class Say(Protocol):
    """A text of the room "doctor" in one language, its places filled."""

    def __call__(self, key: str, **values: object) -> str: ...


def speaker(language: str) -> Say:
    """Raises InputError for a language the kit does not speak."""
    texts = strings("doctor", language)
    return lambda key, **values: texts[key].format(**values)


def examined(name: str, check: Callable[[], Finding], say: Say, *, without_libraries: bool = False) -> Finding:
    """What the check says; if it fails itself, that is a fault, told in one line.

    Where libraries are known to be missing or broken, a check that stumbles over one only cannot tell.
    """
    try:
        return check()
    except (ImportError, TrialError) as fault:
        if without_libraries:
            return Finding(name, "warning", say("unknown", name=say("name_libraries")))
        return Finding(name, "fault", one_line(fault), say("cure_unexpected"))
    except (Exception, SystemExit) as fault:
        return Finding(name, "fault", one_line(fault), say("cure_unexpected"))


def one_line(fault: BaseException) -> str:
    """The exception's kind and words, without line breaks."""
    kind = "" if isinstance(fault, TrialError) else f"{type(fault).__name__}: "  # which names another's kind
    text = " ".join(f"{kind}{fault}".split()).removesuffix(":")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def listed(names: list[str], say: Say, *, most: int = 4) -> str:
    """The names with commas; of many, the first few and how many more."""
    text = say("comma").join(names[:most])
    return text if len(names) <= most else say("more", names=text, n=len(names) - most)
