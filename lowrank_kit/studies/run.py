"""Running a study: cells in parallel, rows written by this process alone, times taken when all else has ended."""

from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from joblib import delayed
from tqdm.auto import tqdm

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.latency import latency
from lowrank_kit.records import RankPlan
from lowrank_kit.studies.database import create
from lowrank_kit.studies.grid import Study
from lowrank_kit.studies.networks import function_of
from lowrank_kit.studies.parallel import check_jobs, in_parallel, jobs_for
from lowrank_kit.studies.results import Results, Row
from lowrank_kit.studies.store import add_baseline, add_outcome, add_timing
from lowrank_kit.studies.trial import Baseline, Identity, baseline, forget, identity, subject, trial

__all__ = ["Cancelled", "run"]


class Cancelled(KeyboardInterrupt):
    """Ctrl-C during a study: says how much of it is there and how to go on."""


def run(
    study: Study,
    path: str | Path | None = None,
    *,
    jobs: int | None = -1,
    progress: bool = True,
    latency_budget_s: float = 1.0,
) -> Iterator[Row]:
    """Measure what the file of results lacks, a row at a time, each stored before it is given.

    Parameters
    ----------
    path : an SQLite file, new or with earlier results; by default the study's name in the current folder
    jobs : how many cells at once: -1 for all processors, or all workers of the backend that `joblib.parallel_config`
        names; None for as many as it says
    progress : show a bar with the time left, in a terminal or a notebook
    latency_budget_s : about how long each timing may take

    First come the rows of :meth:`Results.rows` in the order they are done; then, when all parallel work has ended,
    those of :meth:`Results.timings`, which have a `batch`. What is stored is not measured again, however the last run
    ended. Closing the generator cancels; rows wait unstored while none is asked for. One thread should ask for all.

    Raises InputError where the file can't be used, a network can't be made, or its weights or data are not those of
    the stored rows; Cancelled on Ctrl-C.
    """
    check_jobs(jobs)
    for network in study.networks:
        function_of(network)
    results = Results(Path(f"{study.name}.sqlite" if path is None else path))
    create(results.file)
    work = _Run(study, results, jobs, {"disable": None if progress else True})
    try:
        yield from work.cells()
        yield from work.timings(latency_budget_s)
    except KeyboardInterrupt:
        raise Cancelled(f"cancelled; {results.standing(study)}. Run the study again to go on from there.") from None
    except BrokenExecutor:
        raise InputError(
            "workers must live until they are done, but the system ended one, mostly for want of memory; "
            f"{results.standing(study)}. Run the study again with fewer jobs to go on from there."
        ) from None
    finally:
        forget()


@dataclass(frozen=True)
class _Run:
    """One run of a study; `name` tells its networks from those that a long-lived worker keeps from an earlier one."""

    study: Study
    results: Results
    jobs: int | None
    bar: dict[str, Any]
    name: str = field(default_factory=lambda: uuid4().hex)

    def cells(self) -> Iterator[Row]:
        missing = self.results.missing(self.study)
        jobs = jobs_for(max(len(missing), len(self.study.pairs)), self.jobs)
        self._look(jobs, last=not missing)
        known = self.results.identities()
        done = len(self.study) - len(missing)
        tasks = [delayed(trial)(cell, self.name) for cell in missing]
        with (
            closing(in_parallel(tasks, jobs, last=True)) as outcomes,
            tqdm(total=len(self.study), initial=done, desc=self.study.name, unit="row", **self.bar) as bar,
        ):
            for outcome in outcomes:
                self._check(outcome.identity, known)
                add_outcome(self.results.file, outcome)
                bar.update()
                yield self.results.row(outcome.cell)

    def timings(self, budget_s: float) -> Iterator[Row]:
        untimed = self.results.untimed(self.study)
        total = len(self.results.timings(self.study)) + len(untimed)
        if not untimed:
            return
        known = self.results.identities()
        with tqdm(total=total, initial=total - len(untimed), desc="timings", unit="row", **self.bar) as bar:
            for row, batch in untimed:
                found = subject(row["network"], row["seed"], self.name)
                self._check(found.identity, known)
                small = found.factorisation.compress(RankPlan.from_json(row["plan"]))
                dense, timing = latency([found.model, small], found.data.test.x, batch=batch, budget_s=budget_s)
                add_timing(self.results.file, row, dense, timing, found.conditions)
                bar.update()
                yield self.results.timing(row, batch)

    def _look(self, jobs: int | None, *, last: bool) -> None:
        """Measure dense networks that are new; of the others make sure that they are what they were."""
        known = self.results.identities()
        tasks = [delayed(identity if pair in known else baseline)(*pair, self.name) for pair in self.study.pairs]
        with (
            closing(in_parallel(tasks, jobs, last=last)) as networks,
            tqdm(total=len(tasks), desc="networks", unit="network", leave=False, **self.bar) as bar,
        ):
            for found in networks:
                if isinstance(found, Baseline):
                    add_baseline(self.results.file, found)
                else:
                    self._check(found, known)
                bar.update()

    def _check(self, now: Identity, known: Mapping[tuple[str, int], Identity]) -> None:
        stored = known[now.network, now.seed]
        if now == stored:
            return
        what = "weights" if now.weights != stored.weights else "data"
        before, after = (getattr(one, what)[:15] for one in (stored, now))
        raise InputError(
            f"{now.network} must keep its {what} during a study; for seed {now.seed} they were {before}... and are "
            f"{after}.... {self.results.file} stays as it is; name another file for a study of the new ones."
        )
