"""A whole network's time as two strips, dense and cut, in which every layer takes its part and says why."""

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from lowrank_kit.i18n import strings
from lowrank_kit.plots.figure import canvas
from lowrank_kit.plots.outlook import unit_of
from lowrank_kit.records import NetworkOutlook

__all__ = ["plot_verdicts"]

# As on the boards: dark enough for white figures on them.
COLOURS = {"faster": "#0072b2", "launch": "#a8568a", "tile": "#946c00", "memory": "#c25400", "compute": "#6b7480"}
# Of the longer strip: below it a part has no room for its figure.
ROOM = 0.05


def plot_verdicts(
    outlook: NetworkOutlook,
    share: float,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Axes:
    """Predicted time of all layers, dense and with this share of their ranks; a part's colour is its verdict."""
    facts = {"network": outlook.network, "share": f"{share:.0%}"}
    figure, ax = canvas(ax, (9.2, 2.1), "verdicts_description", language=language, theme=theme, **facts)
    dense, cut = outlook.dense_s, outlook.foretold_s(share)
    scale, unit = unit_of(float(dense.sum()))
    words = strings("latency", figure.language)
    with figure.styled():
        for y, parts in ((1, dense), (0, cut)):
            left = 0.0
            for before, part, verdict in zip(dense, parts, outlook.verdicts(share), strict=True):
                colour = figure.theme.before if y else COLOURS[verdict]
                ax.barh(y, part / scale, left=left / scale, height=0.62, color=colour, ec=figure.theme.paper, lw=0.8)
                if not y and part > ROOM * max(dense.sum(), cut.sum()):
                    ax.text(
                        (left + part / 2) / scale, y, f"{before / part:.2g}×",
                        ha="center", va="center", fontsize=8, color="white",
                    )  # fmt: skip
                left += part
        ax.set_yticks([1, 0], [figure.words["dense_layer"], figure.words["ranks_kept"].format(share=f"{share:.0%}")])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(unit)
        ax.set_xlim(0, max(dense.sum(), cut.sum()) / scale)
        ax.set_title(
            figure.words["verdicts_title"].format(
                network=outlook.network, macs=f"{outlook.saved_macs(share):.2g}", speed=f"{dense.sum() / cut.sum():.2g}"
            )
        )
        told = [Patch(color=COLOURS[name], label=words[name]) for name in COLOURS if name in outlook.verdicts(share)]
        ax.legend(handles=told, loc="upper left", bbox_to_anchor=(-0.01, -0.24), ncols=len(told), handlelength=1.0)
    return ax
