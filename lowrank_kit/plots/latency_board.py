"""A latency board's last picture, for pages where nothing can be dragged."""

from lowrank_kit.i18n import strings
from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.plots.outlook import plot_roofline, plot_staircase
from lowrank_kit.plots.verdicts import plot_verdicts
from lowrank_kit.records import NetworkOutlook

__all__ = ["plot_latency_board"]


def plot_latency_board(
    outlook: NetworkOutlook, layer: str, share: float, *, language: str | None = None, theme: str = "light"
) -> Picture:
    """A layer's staircase and place under the roof on one device, above all layers at the same share of their ranks."""
    figure = picture(9.6, 5.8, language=language, theme=theme)
    found = outlook[layer]
    facts = {"network": outlook.network, "layer": layer, "rank": "x".join(map(str, found.ranks[found.at(share)]))}
    words = strings("latency", figure.language)
    figure.description = words["still"].format(**facts)
    with figure.styled():
        grid = figure.add_gridspec(2, 2, height_ratios=(7, 3), width_ratios=(5, 4))
        left, right, below = (figure.add_subplot(place) for place in (grid[0, 0], grid[0, 1], grid[1, :]))
        plot_staircase(found, ax=left, at=share)
        plot_roofline(found, outlook.roof, ax=right, at=share)
        plot_verdicts(outlook, share, ax=below)
        recorded = words["recorded"].format(date=outlook.date)
        told = f"{figure.description}  ·  {outlook.conditions['device']}, {recorded}"
        figure.suptitle(told, x=0.01, ha="left", fontsize=10)
    return figure
