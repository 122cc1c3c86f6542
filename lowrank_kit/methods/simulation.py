"""A deep linear network learns in a simulation: what is set, what is watched, and the narrow twin beside it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import repeat
from numbers import Real
from typing import Any, NamedTuple, TypeVar

import numpy as np

from lowrank_kit.checks import InputError, check_fraction, check_name, check_positive
from lowrank_kit.maths.dynamics import (
    RULES,
    STARTS,
    Objective,
    Rule,
    Twin,
    aligned,
    descend,
    gap,
    mode_strength,
    products,
    resting_values,
    sharpness,
    start,
    twin,
)
from lowrank_kit.methods.dynamics_views import Bearings, bearings, looks
from lowrank_kit.records import Trajectory

__all__ = ["KINDS", "Settings", "Simulation"]

KINDS = (*STARTS, "aligned")
# Sizes and learning rates beyond it say nothing, and overflow at once.
LARGEST = 1e6
# So many entries a trajectory has, beside its start.
FRAMES = 100
# A product that is so many times as large as it began, or as the target, comes back no more.
LOST = 1e6
# So many frames are looked at together, in so many threads beside the one that takes the steps.
PIECE, WORKERS = 8, 2

T = TypeVar("T")

LEAST = {"width": 2, "depth": 1, "rank": 1, "steps": 1, "seed": 0}


@dataclass(frozen=True)
class Settings:
    """What a simulation is of.

    Parameters
    ----------
    width, depth, rank : d, L and r: the target is a d x d Gaussian matrix cut to rank r
    scale : epsilon, the size of every layer's start
    learning_rate : of the summed loss, 1/2 ||(W - T) C^(1/2)||^2
    start : "orthogonal", "gaussian", "uniform", or "aligned" with the target
    rule : "descent", "momentum" or "adam"
    condition : of the inputs X, C = X X^T; 1 for whitened ones
    seen : the fraction of the target's entries that count (matrix completion); 1 for all
    outer : the share of the learning rate (gamma) at which the twin's outer factors learn
    guess : the rank the twin is made for, at least the target's; None for that rank
    weight_decay : lambda
    steps, seed : how long, and which target, start, inputs and mask are drawn

    Raises InputError for what cannot be simulated.
    """

    width: int = 30
    depth: int = 3
    rank: int = 3
    scale: float = 0.5
    learning_rate: float = 2e-3
    start: str = "orthogonal"
    rule: str = "descent"
    condition: float = 1.0
    seen: float = 1.0
    outer: float = 0.0
    guess: int | None = None
    weight_decay: float = 0.0
    steps: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"`{name}` must be a whole number of at least {least}; got {value!r}.")
        if self.rank > self.width:
            raise InputError(f"`rank` must be at most the width, {self.width}; got {self.rank}.")
        self._check_guess()
        for name in ("scale", "learning_rate"):
            check_positive(getattr(self, name), LARGEST, name=name)
        check_name(self.start, KINDS, name="start")
        check_name(self.rule, RULES, name="rule")
        check_fraction(self.seen, name="seen")
        if not isinstance(self.condition, Real) or not 1 <= self.condition < np.inf:
            raise InputError(
                f"`condition` must be at least 1, which is that of whitened inputs; got {self.condition!r}."
            )
        if self.condition > 1 and self.seen < 1:
            raise InputError("`seen` below 1 is of whitened inputs; set `condition` to 1, or see everything.")
        for name in ("outer", "weight_decay"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 <= value < np.inf:
                raise InputError(f"`{name}` must be a number of at least 0; got {value!r}.")

    def _check_guess(self) -> None:
        guess, low, high = self.guess, self.rank, self.width
        if guess is not None and (isinstance(guess, bool) or not isinstance(guess, int) or not low <= guess <= high):
            raise InputError(
                f"`guess` must be a whole number from the rank, {low}, to the width, {high}, or None for the rank; "
                f"got {guess!r}."
            )


class Frame(NamedTuple):
    """One step that is kept: weights (L, d, d), their product (d, d), and the twin's."""

    step: int
    weights: np.ndarray
    product: np.ndarray
    beside: np.ndarray


class Simulation:
    """One deep linear network and its twin, from the start to the end or to where they diverge.

    `run` takes the steps a piece at a time, and can be left between two. Afterwards `trajectory` has of about a hundred
    steps "values" (T, L, d) and "angles" (T, L, 2, n) of every layer, "repeated" (T, L), "resting" (T, L) where
    the law of parsimony tells it, the "product" (T, d, d), its "modes" (T, d), "loss", "recovery" (relative error of
    the whole target), "twin_loss", "twin_recovery" and "gap" (T,) between both, "gap_foretold" (T,) where
    the law tells that too, and "modes_foretold" (T, r) where every mode learns by itself.
    """

    def __init__(self, settings: Settings):
        self.settings, rng = settings, np.random.default_rng(settings.seed)
        d = settings.width
        U, S, Vh = np.linalg.svd(rng.standard_normal((d, d)))
        self.strengths = S[: settings.rank]
        self.target = (U[:, : settings.rank] * self.strengths) @ Vh[: settings.rank]
        self.objective = self._objective(rng)
        self.weights = self._start()
        self.rule = Rule(settings.learning_rate, settings.rule, settings.weight_decay)
        self.diverged_at: int | None = None
        self._steps: list[int] = []
        self._seen: list[dict[str, np.ndarray]] = []

    @cached_property
    def twin(self) -> Twin | None:
        """None where 2r directions are all there are."""
        try:
            return twin(self.weights, self.objective, self.settings.guess or self.settings.rank)
        except InputError:
            return None

    @cached_property
    def limit(self) -> float:
        """The learning rate beyond which the descent does not settle; infinite for Adam."""
        return self.rule.limit(sharpness(self.objective, self.settings.depth, products(self.weights)[-1]))

    @property
    def trajectory(self) -> Trajectory:
        """What was seen. Raises InputError before `run` has come to its end."""
        if not self._seen:
            raise InputError("`trajectory` is there once `run` has come to its end; go through it first.")
        steps = np.array(self._steps, dtype=np.int64)
        arrays = {name: np.concatenate([part[name] for part in self._seen]) for name in self._seen[0]}
        layers = tuple(f"W{number}" for number in range(1, self.settings.depth + 1))
        return Trajectory("simulation", steps, {**arrays, **self._foretold(steps)}, layers, self._facts())

    def run(self) -> Iterator[float]:
        """The fraction of the steps that is done, again and again; every run begins at the start."""
        self._steps, self._seen, self.diverged_at = [], [], None
        with ThreadPoolExecutor(WORKERS) as pool:
            looked, origin = [], None
            for share, frames in _quietly(self._pieces()):
                origin = origin or bearings(frames[min(1, len(frames) - 1)].weights, *self._ends)
                looked.append(pool.submit(self._look, frames, origin))
                yield share
            self._seen = [part.result() for part in looked]
        if self._seen:  # nothing has turned before the first step, and values that repeat have no vectors of their own
            self._seen[0]["angles"][0] = np.nan
        yield 1.0

    def _pieces(self) -> Iterator[tuple[float, list["Frame"]]]:
        """Some frames at a time, while the steps go on."""
        frames: list[Frame] = []
        for frame in self._frames():
            frames.append(frame)
            if len(frames) == PIECE:
                yield frame.step / self.settings.steps, frames
                frames = []
        if frames:
            yield 1.0, frames

    def _frames(self) -> Iterator["Frame"]:
        """The start, the first step, about a hundred others and the last one."""
        every, last = max(self.settings.steps // FRAMES, 1), self.settings.steps
        small = self._twin_path()
        largest = LOST * max(float(np.linalg.norm(self.target)), float(np.linalg.norm(products(self.weights)[-1])))
        for step, (weights, product) in enumerate(descend(self.weights, self.objective, self.rule)):
            beside, lost = next(small), not np.vdot(product, product) < largest**2
            if lost:
                self.diverged_at = step
                return
            if step % every == 0 or step in (1, last):
                self._steps.append(step)
                yield Frame(step, np.stack(weights), product.copy(), beside.copy())
            if step == last:
                return

    @np.errstate(over="ignore", invalid="ignore")
    def _look(self, frames: list["Frame"], origin: Bearings) -> dict[str, np.ndarray]:
        product = np.stack([frame.product for frame in frames])
        beside = np.stack([self._whole(frame.beside) for frame in frames])
        return {
            **looks(np.stack([frame.weights for frame in frames]), origin),
            "product": product,
            "modes": np.linalg.svd(product, compute_uv=False),
            **{
                f"{of}loss": np.array([self.objective.loss(p) for p in x])
                for of, x in (("", product), ("twin_", beside))
            },
            **{f"{of}recovery": self._error(x) for of, x in (("", product), ("twin_", beside))},
            "gap": np.linalg.norm(product - beside, axis=(1, 2)),
        }

    def _error(self, product: np.ndarray) -> np.ndarray:
        return np.linalg.norm(product - self.target, axis=(1, 2)) / np.linalg.norm(self.target)

    def _foretold(self, steps: np.ndarray) -> dict[str, np.ndarray]:
        """What theory says of these steps, where it says anything."""
        found, law = {}, self.settings
        if self.is_lawful:
            resting = resting_values([law.scale] * law.depth, self.rule, int(steps[-1]))[steps]
            found["resting"] = resting
            if self._is_projected:
                found["gap_foretold"] = gap(resting, law.width - 2 * (law.guess or law.rank))
        if law.start == "aligned" and law.rule == "descent" and not law.weight_decay and self._is_plain:
            times = law.learning_rate * steps
            modes = [mode_strength(times, value, law.scale, law.depth) for value in self.strengths]
            found["modes_foretold"] = np.stack(modes, axis=1)
        return found

    @property
    def _ends(self) -> tuple[int, int]:
        """How many singular vectors of a layer move by themselves, upwards and downwards, where the law holds."""
        return self.settings.rank, 0 if self.settings.start == "aligned" else self.settings.rank

    @property
    def _is_plain(self) -> bool:
        """Whether everything is seen, through whitened inputs."""
        return self.objective.covariance is None and self.objective.seen is None

    @property
    def is_lawful(self) -> bool:
        """Whether the law of parsimony holds: an orthogonal start, an isotropic descent, and directions to spare."""
        orthogonal = self.settings.start in ("orthogonal", "aligned")
        return orthogonal and self._is_plain and self.rule.kind != "adam" and self.twin is not None

    def _facts(self) -> dict[str, Any]:
        """What holds for the whole simulation, in plain words and numbers."""
        return {
            **asdict(self.settings),
            "limit": self.limit,
            "diverged_at": self.diverged_at,
            "strengths": self.strengths.tolist(),
            "ends": list(self._ends),
            "n_params": sum(weight.size for weight in self.weights),
            "n_params_twin": None if self.twin is None else self.twin.n_params,
        }

    def _twin_path(self) -> Iterator[np.ndarray]:
        """The twin's product (d, d), or (2r, 2r) between outer factors at rest, at step 0, 1, 2, ..."""
        found, share = self.twin, self.settings.outer
        if found is None:
            return repeat(np.full_like(self.target, np.nan))
        if self._is_projected:
            return (small for _, small in descend(found.cores, found.inner(self.objective), self.rule))
        path = descend(found.weights, self.objective, self.rule, rates=found.rates(share))
        return (product for _, product in path)

    @property
    def _is_projected(self) -> bool:
        return self.twin is not None and not self.settings.outer and self.objective.seen is None

    def _whole(self, product: np.ndarray) -> np.ndarray:
        """The twin's product (d, d)."""
        return self.twin.left @ product @ self.twin.right if self.twin and self._is_projected else product

    def _objective(self, rng: np.random.Generator) -> Objective:
        d, condition = self.settings.width, self.settings.condition
        covariance = seen = None
        if condition > 1:
            Q = start("orthogonal", (d, d), 1.0, self._seed(1))[0]
            covariance = (Q * np.geomspace(1 / condition, condition, d)) @ Q.T
        if self.settings.seen < 1:
            seen = rng.random((d, d)) < self.settings.seen
        return Objective(self.target, covariance, seen)

    def _start(self) -> list[np.ndarray]:
        d, depth, scale = (getattr(self.settings, name) for name in ("width", "depth", "scale"))
        if self.settings.start == "aligned":
            return aligned(self.target, depth, scale, self._seed(0))
        return start(self.settings.start, [d] * (depth + 1), scale, self._seed(0))

    def _seed(self, number: int) -> int:
        """For draws that must know nothing of the target's: with its own seed a start would lean towards it."""
        return int(np.random.SeedSequence([self.settings.seed, number]).generate_state(1)[0])


def _quietly(path: Iterator[T]) -> Iterator[T]:
    """Without warnings of numbers too large; what holds between two of its steps is left as it is."""
    while True:
        with np.errstate(over="ignore", invalid="ignore"):
            found = next(path, None)
        if found is None:
            return
        yield found
