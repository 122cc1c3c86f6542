"""What do we know? The values everything flows through: frozen, without torch, files or clocks."""

from lowrank_kit.records.examples import Data, Examples
from lowrank_kit.records.measurements import Change, Measurement, Timing
from lowrank_kit.records.plans import LayerPlan, RankPlan
from lowrank_kit.records.spectra import Factors, Spectrum, break_even_rank, factor_params
from lowrank_kit.records.surveys import LayerReport, Survey
from lowrank_kit.records.tables import LayerTable, RankTables

__all__ = [
    "Change",
    "Data",
    "Examples",
    "Factors",
    "LayerPlan",
    "LayerReport",
    "LayerTable",
    "Measurement",
    "RankPlan",
    "RankTables",
    "Spectrum",
    "Survey",
    "Timing",
    "break_even_rank",
    "factor_params",
]
