"""What do we know? The values everything flows through: frozen, without torch, files or clocks."""

from lowrank_kit.records.adaptations import AccuracyCurve, UpdateValues
from lowrank_kit.records.ceilings import Ceilings
from lowrank_kit.records.diagnoses import Diagnosis, Estimate, Target
from lowrank_kit.records.examples import Data, Examples
from lowrank_kit.records.formats import FormatFit
from lowrank_kit.records.grids import Grid, JointSearch, RankCurve, SearchStep
from lowrank_kit.records.latencies import RecordedTime
from lowrank_kit.records.latency_tables import Conditions, LatencyTable
from lowrank_kit.records.latent import LatentLayer, LatentTables
from lowrank_kit.records.layer_times import LayerTimes
from lowrank_kit.records.losses import LossCurve
from lowrank_kit.records.measurements import Change, Measurement, TrainingMemory
from lowrank_kit.records.network_times import NetworkTimes
from lowrank_kit.records.outlooks import Judgement, LayerOutlook, NetworkOutlook, Rival
from lowrank_kit.records.plans import METHODS, LayerPlan, Rank, RankPlan
from lowrank_kit.records.prices import Price, params_price
from lowrank_kit.records.recognition import Recognition
from lowrank_kit.records.shapes import Layer, LayerShape
from lowrank_kit.records.spectra import Factors, Spectrum, break_even_rank, factor_params
from lowrank_kit.records.surveys import LayerReport, Survey
from lowrank_kit.records.tables import LayerTable, NetworkTables, RankTables
from lowrank_kit.records.tensors import TuckerFactors, tucker_params, tucker_saves
from lowrank_kit.records.timings import MODES, Timing
from lowrank_kit.records.trajectories import Trajectory
from lowrank_kit.records.tucker_tables import TuckerLayer, TuckerTables
from lowrank_kit.records.views import LatentView

__all__ = [
    "METHODS",
    "MODES",
    "AccuracyCurve",
    "Ceilings",
    "Change",
    "Conditions",
    "Data",
    "Diagnosis",
    "Estimate",
    "Examples",
    "Factors",
    "FormatFit",
    "Grid",
    "JointSearch",
    "Judgement",
    "LatencyTable",
    "LatentLayer",
    "LatentTables",
    "LatentView",
    "Layer",
    "LayerOutlook",
    "LayerPlan",
    "LayerReport",
    "LayerShape",
    "LayerTable",
    "LayerTimes",
    "LossCurve",
    "Measurement",
    "NetworkOutlook",
    "NetworkTables",
    "NetworkTimes",
    "Price",
    "Rank",
    "RankCurve",
    "RankPlan",
    "RankTables",
    "Recognition",
    "RecordedTime",
    "Rival",
    "SearchStep",
    "Spectrum",
    "Survey",
    "Target",
    "Timing",
    "TrainingMemory",
    "Trajectory",
    "TuckerFactors",
    "TuckerLayer",
    "TuckerTables",
    "UpdateValues",
    "break_even_rank",
    "factor_params",
    "params_price",
    "tucker_params",
    "tucker_saves",
]
