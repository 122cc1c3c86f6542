"""A measured figure beside what it should be."""

from dataclasses import dataclass

__all__ = ["Figure", "table"]


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`, and the limit it should not pass: at most, or at least where `floor` is set."""

    name: str
    value: float
    unit: str
    limit: float
    floor: bool = False

    @property
    def is_met(self) -> bool:
        return self.value >= self.limit if self.floor else self.value <= self.limit


def table(figures: list[Figure]) -> str:
    """One line a figure."""
    width = max(len(figure.name) for figure in figures)
    return "\n".join(
        f"{'ok  ' if figure.is_met else 'MISS'}  {figure.name:<{width}}  {figure.value:8.3g} {figure.unit}  "
        f"({'at least' if figure.floor else 'at most'} {figure.limit:g})"
        for figure in figures
    )
