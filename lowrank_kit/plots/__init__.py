"""What does it look like? Finished records and arrays drawn on matplotlib axes; nothing is computed here."""

from lowrank_kit.plots.adapters import plot_adaptation, plot_update_values
from lowrank_kit.plots.capacity import plot_capacities, plot_recall, plot_search
from lowrank_kit.plots.classes import plot_classes
from lowrank_kit.plots.comparison import plot_comparison
from lowrank_kit.plots.dimension import plot_diagnosis
from lowrank_kit.plots.dynamics import plot_block, plot_dynamics, plot_layer_values, plot_scatter, plot_twins
from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.plots.formats import plot_formats
from lowrank_kit.plots.functional import plot_energy_and_accuracy
from lowrank_kit.plots.grids import plot_grid, plot_grids
from lowrank_kit.plots.latent import plot_latent
from lowrank_kit.plots.losses import plot_losses
from lowrank_kit.plots.memory import plot_memory
from lowrank_kit.plots.outlook import plot_outlook, plot_roofline, plot_staircase
from lowrank_kit.plots.predictions import plot_predictions
from lowrank_kit.plots.recognition import plot_recognition
from lowrank_kit.plots.spectra import plot_spectra, plot_spectrum, plot_truncation
from lowrank_kit.plots.theme import THEMES, Theme
from lowrank_kit.plots.training_memory import plot_training_memory
from lowrank_kit.plots.trajectory import plot_accuracy, plot_loss, plot_mode_spectra, plot_ranks, plot_trajectory
from lowrank_kit.plots.verdicts import plot_verdicts
from lowrank_kit.plots.watching import plot_watch

__all__ = [
    "THEMES",
    "Picture",
    "Theme",
    "picture",
    "plot_accuracy",
    "plot_adaptation",
    "plot_block",
    "plot_capacities",
    "plot_classes",
    "plot_comparison",
    "plot_diagnosis",
    "plot_dynamics",
    "plot_energy_and_accuracy",
    "plot_formats",
    "plot_grid",
    "plot_grids",
    "plot_latent",
    "plot_layer_values",
    "plot_loss",
    "plot_losses",
    "plot_memory",
    "plot_mode_spectra",
    "plot_outlook",
    "plot_predictions",
    "plot_ranks",
    "plot_recall",
    "plot_recognition",
    "plot_roofline",
    "plot_scatter",
    "plot_search",
    "plot_spectra",
    "plot_spectrum",
    "plot_staircase",
    "plot_training_memory",
    "plot_trajectory",
    "plot_truncation",
    "plot_twins",
    "plot_update_values",
    "plot_verdicts",
    "plot_watch",
]
