"""See low rank in neural networks, and decide whether it pays.

The window: the verbs a notebook needs and the records they speak in, each loaded when first used, so that
`import lowrank_kit` brings neither torch nor matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowrank_kit.checks import InputError as InputError
    from lowrank_kit.measurement.measure import measure as measure
    from lowrank_kit.measurement.measure import measure_pair as measure_pair
    from lowrank_kit.methods.adaptive import Adaptation as Adaptation
    from lowrank_kit.methods.adaptive import AdaptiveTraining as AdaptiveTraining
    from lowrank_kit.methods.batches import Batches as Batches
    from lowrank_kit.methods.diagnosis import diagnose as diagnose
    from lowrank_kit.methods.planning import plan as plan
    from lowrank_kit.models.store import restore as restore
    from lowrank_kit.models.store import save as save
    from lowrank_kit.models.surgery import compress as compress
    from lowrank_kit.models.surgery import spectra as spectra
    from lowrank_kit.models.surgery import survey as survey
    from lowrank_kit.models.zoo import load as load
    from lowrank_kit.records import Data as Data
    from lowrank_kit.records import Diagnosis as Diagnosis
    from lowrank_kit.records import Examples as Examples
    from lowrank_kit.records import Measurement as Measurement
    from lowrank_kit.records import RankPlan as RankPlan
    from lowrank_kit.records import Spectrum as Spectrum
    from lowrank_kit.records import Trajectory as Trajectory
    from lowrank_kit.studies.grid import Study as Study
    from lowrank_kit.widgets.dynamics_player import DynamicsPlayer as DynamicsPlayer
    from lowrank_kit.widgets.latency_board import LatencyBoard as LatencyBoard
    from lowrank_kit.widgets.latent_board import LatentBoard as LatentBoard
    from lowrank_kit.widgets.live_player import LivePlayer as LivePlayer
    from lowrank_kit.widgets.rank_board import RankBoard as RankBoard
    from lowrank_kit.widgets.training_player import TrainingPlayer as TrainingPlayer
    from lowrank_kit.widgets.tucker_board import TuckerBoard as TuckerBoard

__version__ = "0.1.0"

HOMES = {
    "Adaptation": "methods.adaptive",
    "AdaptiveTraining": "methods.adaptive",
    "Batches": "methods.batches",
    "Data": "records",
    "Diagnosis": "records",
    "DynamicsPlayer": "widgets.dynamics_player",
    "Examples": "records",
    "InputError": "checks",
    "LatencyBoard": "widgets.latency_board",
    "LatentBoard": "widgets.latent_board",
    "LivePlayer": "widgets.live_player",
    "Measurement": "records",
    "RankBoard": "widgets.rank_board",
    "RankPlan": "records",
    "Spectrum": "records",
    "Study": "studies.grid",
    "TrainingPlayer": "widgets.training_player",
    "Trajectory": "records",
    "TuckerBoard": "widgets.tucker_board",
    "compress": "models.surgery",
    "diagnose": "methods.diagnosis",
    "load": "models.zoo",
    "measure": "measurement.measure",
    "measure_pair": "measurement.measure",
    "plan": "methods.planning",
    "restore": "models.store",
    "save": "models.store",
    "spectra": "models.surgery",
    "survey": "models.surgery",
}

__all__ = ["__version__", *HOMES]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
