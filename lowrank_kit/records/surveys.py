"""What became of every layer under a plan, and why."""

from dataclasses import dataclass
from html import escape
from typing import Literal

__all__ = ["LayerReport", "Survey"]

Verdict = Literal["compressed", "dense", "refused"]


@dataclass(frozen=True)
class LayerReport:
    """One layer: method and rank (`how`) if compressed, the reason if not; `n_params` as they are before and after."""

    layer: str
    kind: str
    verdict: Verdict
    reason: str
    n_params_before: int
    n_params: int
    how: str = ""


@dataclass(frozen=True)
class Survey:
    """All layers of a network in order; renders as a table in notebooks."""

    layers: tuple[LayerReport, ...]

    @property
    def counts(self) -> dict[str, int]:
        verdicts = [layer.verdict for layer in self.layers]
        return {verdict: verdicts.count(verdict) for verdict in ("compressed", "dense", "refused")}

    def __getitem__(self, layer: str) -> LayerReport:
        return {report.layer: report for report in self.layers}[layer]

    def __str__(self) -> str:
        lines = [self._cells(report) for report in self.layers]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{title}</th>" for title in ("layer", "kind", "verdict", "rank", "parameters", "reason"))
        rows = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in self._cells(r)) + "</tr>" for r in self.layers)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    @staticmethod
    def _cells(report: LayerReport) -> tuple[str, ...]:
        size = f"{report.n_params_before:,}"
        if report.verdict == "compressed":
            size += f" -> {report.n_params:,}"
        return report.layer, report.kind, report.verdict, report.how, size, report.reason
