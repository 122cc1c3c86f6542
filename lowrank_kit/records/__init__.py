"""What do we know? The values everything flows through: frozen, without torch, files or clocks."""

from lowrank_kit.records.examples import Data, Examples
from lowrank_kit.records.grids import Grid, JointSearch, RankCurve, SearchStep
from lowrank_kit.records.latent import LatentLayer, LatentTables
from lowrank_kit.records.measurements import Change, Measurement, Timing
from lowrank_kit.records.plans import METHODS, LayerPlan, RankPlan
from lowrank_kit.records.recognition import Recognition
from lowrank_kit.records.spectra import Factors, Spectrum, break_even_rank, factor_params
from lowrank_kit.records.surveys import LayerReport, Survey
from lowrank_kit.records.tables import LayerTable, RankTables
from lowrank_kit.records.views import LatentView

__all__ = [
    "METHODS",
    "Change",
    "Data",
    "Examples",
    "Factors",
    "Grid",
    "JointSearch",
    "LatentLayer",
    "LatentTables",
    "LatentView",
    "LayerPlan",
    "LayerReport",
    "LayerTable",
    "Measurement",
    "RankCurve",
    "RankPlan",
    "RankTables",
    "Recognition",
    "SearchStep",
    "Spectrum",
    "Survey",
    "Timing",
    "break_even_rank",
    "factor_params",
]
