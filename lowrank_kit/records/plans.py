"""A plan stands between intent and action: a slider makes one, compress consumes one, a measurement remembers one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real

from lowrank_kit.checks import InputError, check_name

__all__ = ["METHODS", "LayerPlan", "RankPlan"]

FORMAT = "lowrank-kit rank plan 1"
METHODS = ("svd", "spatial", "aware")


@dataclass(frozen=True)
class LayerPlan:
    """How one layer is factorised: the method (:mod:`lowrank_kit.models.low_rank`) and its one rank."""

    rank: int
    method: str = "svd"

    def __post_init__(self) -> None:
        check_name(self.method, METHODS, name="method")
        if isinstance(self.rank, bool) or not isinstance(self.rank, Integral) or self.rank < 1:
            raise InputError(f"`rank` must be a whole number of at least 1; got {self.rank!r}.")
        object.__setattr__(self, "rank", int(self.rank))


@dataclass(frozen=True)
class RankPlan:
    """Layer name -> how it is factorised; layers without an entry stay dense.

    `weights` is the hash of the weights the plan was made for; `budget` is the fraction kept of the conv and
    linear layers' parameters or multiply-adds, as `cost` says, or None where ranks were set by hand.
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
    def ranks(self) -> dict[str, int]:
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
