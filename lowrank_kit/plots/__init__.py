"""What does it look like? Finished records and arrays drawn on matplotlib axes; nothing is computed here."""

from lowrank_kit.plots.capacity import plot_capacities, plot_recall, plot_search
from lowrank_kit.plots.classes import plot_classes
from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.plots.functional import plot_energy_and_accuracy
from lowrank_kit.plots.grids import plot_grid
from lowrank_kit.plots.latent import plot_latent
from lowrank_kit.plots.memory import plot_memory
from lowrank_kit.plots.predictions import plot_predictions
from lowrank_kit.plots.recognition import plot_recognition
from lowrank_kit.plots.spectra import plot_spectra, plot_spectrum, plot_truncation
from lowrank_kit.plots.theme import THEMES, Theme

__all__ = [
    "THEMES",
    "Picture",
    "Theme",
    "picture",
    "plot_capacities",
    "plot_classes",
    "plot_energy_and_accuracy",
    "plot_grid",
    "plot_latent",
    "plot_memory",
    "plot_predictions",
    "plot_recall",
    "plot_recognition",
    "plot_search",
    "plot_spectra",
    "plot_spectrum",
    "plot_truncation",
]
