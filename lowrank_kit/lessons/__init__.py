"""Was I right? The self-checks of the notebooks' guesses and exercises, which themselves hold no definitions."""

from lowrank_kit.lessons.break_even import check_break_even
from lowrank_kit.lessons.capacity import check_capacity
from lowrank_kit.lessons.counting import LENET5, LENET5_TABLE, check_count
from lowrank_kit.lessons.guess import compare_guess
from lowrank_kit.lessons.room import check_room
from lowrank_kit.lessons.time_limit import check_time_limit
from lowrank_kit.lessons.verdict import Verdict

__all__ = [
    "LENET5",
    "LENET5_TABLE",
    "Verdict",
    "check_break_even",
    "check_capacity",
    "check_count",
    "check_room",
    "check_time_limit",
    "compare_guess",
]
