"""A plan stands between intent and action: a slider makes one, compress consumes one, a measurement remembers one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from lowrank_kit.checks import InputError, check_name

__all__ = ["METHODS", "LayerPlan", "Rank", "RankPlan"]

FORMAT = "lowrank-kit rank plan 1"
METHODS = ("svd", "spatial", "aware", "tucker")
# One number, or for the method "tucker" one for the outputs and one for the inputs.
Rank = int | tuple[int, int]


@dataclass(frozen=True)
class LayerPlan:
    """How one layer is factorised: the method and its rank, which for "tucker" is a pair, outputs first."""

    rank: Rank
    method: str = "svd"

    def __post_init__(self) -> None:
        check_name(self.method, METHODS, name="method")
        object.__setattr__(self, "rank", _pair(self.rank) if self.method == "tucker" else _whole(self.rank))

    @property
    def ranks(self) -> tuple[int, ...]:
        """The rank or ranks, one behind the other."""
        return self.rank if isinstance(self.rank, tuple) else (self.rank,)

    def __str__(self) -> str:
        return f"{self.method} {' x '.join(map(str, self.ranks))}"


def _whole(rank: object) -> int:
    if isinstance(rank, bool) or not isinstance(rank, Integral) or rank < 1:
        raise InputError(f"`rank` must be a whole number of at least 1; got {rank!r}.")
    return int(rank)


def _pair(ranks: object) -> tuple[int, int]:
    if not isinstance(ranks, Sequence) or len(ranks) != 2:
        raise InputError(f"`rank` must be a pair for the method 'tucker', (outputs, inputs); got {ranks!r}.")
    return _whole(ranks[0]), _whole(ranks[1])


@dataclass(frozen=True)
class RankPlan:
    """Layer name -> how it is factorised; layers without an entry stay dense.

    `weights` is the hash of the weights the plan was made for; `budget` is the fraction kept of the conv and
    linear layers' parameters or multiply-adds, or of those that were planned alone, as `cost` says, or None where no
    budget set the ranks.
    """

    layers: Mapping[str, LayerPlan]
    weights: str
    rule: str = "hand"
    budget: float | None = None
    cost: str | None = None

    def __post_init__(self) -> None:
        words = (("weights", self.weights, str), ("rule", self.rule, str), ("cost", self.cost, str | None))
        for name, value, kind in (*words, ("budget", self.budget, Real | None)):
            if not isinstance(value, kind) or isinstance(value, bool):
                raise InputError(f"the plan's `{name}` can't be {value!r}.")
        object.__setattr__(self, "budget", None if self.budget is None else float(self.budget))

    @property
    def ranks(self) -> dict[str, Rank]:
        return {name: layer.rank for name, layer in self.layers.items()}

    def to_json(self) -> str:
        """The same plan gives the same text, readable by people and by :meth:`from_json`."""
        return json.dumps(
            {
                "format": FORMAT,
                "rule": self.rule,
                "budget": self.budget,
                "cost": self.cost,
                "weights": self.weights,
                "layers": {name: {"method": p.method, "rank": p.rank} for name, p in self.layers.items()},
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> "RankPlan":
        """Raises InputError where the text is no plan."""
        try:
            fields = json.loads(text)
            if fields["format"] != FORMAT:
                raise InputError(f"the plan's format must be {FORMAT!r}; got {fields['format']!r}.")
            if not isinstance(fields["weights"], str):
                raise TypeError(f"weights are {fields['weights']!r}")
            layers = {name: LayerPlan(entry["rank"], entry["method"]) for name, entry in fields["layers"].items()}
            return cls(layers, fields["weights"], fields["rule"], fields["budget"], fields["cost"])
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
            raise InputError(
                f"a plan must be the JSON text that `plan.to_json()` writes; this is not ({fault})."
            ) from None
