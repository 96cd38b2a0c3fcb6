"""Training: the loop, its record, its checkpoints, its profile and what can be hung onto it."""

from typing import TYPE_CHECKING

from xpnet.checks import names_in
from xpnet.training import metrics
from xpnet.training.averaging import AveragedWeights
from xpnet.training.callbacks import (
    Callback,
    Checkpoint,
    HistoryFile,
    LearnsNothing,
    Table,
)
from xpnet.training.clipping import ClipNorm, ClipValue
from xpnet.training.ensemble import Ensemble
from xpnet.training.finder import LRCurve, find_lr
from xpnet.training.history import History
from xpnet.training.loggers import CSVLogger, MLflow, TensorBoard
from xpnet.training.metrics import Evaluation
from xpnet.training.plateau import EarlyStopping, ReduceLROnPlateau
from xpnet.training.profile import Profile, ProfileRow, profile_step
from xpnet.training.progress import ProgressBar
from xpnet.training.search import SuccessiveHalving, random_search
from xpnet.training.spaces import Integers, LogUniform, Uniform
from xpnet.training.trainer import DivergedError, Trainer
from xpnet.training.trials import Trial
from xpnet.training.warming import warm_up

__all__ = [
    "AveragedWeights",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "ClipNorm",
    "ClipValue",
    "DivergedError",
    "EarlyStopping",
    "Ensemble",
    "Evaluation",
    "History",
    "HistoryFile",
    "Integers",
    "LRCurve",
    "LearnsNothing",
    "LogUniform",
    "MLflow",
    "Profile",
    "ProfileRow",
    "ProgressBar",
    "ReduceLROnPlateau",
    "SuccessiveHalving",
    "Table",
    "TensorBoard",
    "Trainer",
    "Trial",
    "Uniform",
    "find_lr",
    "profile_step",
    "random_search",
    "warm_up",
]

if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(
        __name__,
        __all__,
        **{name: f"write xpnet.training.metrics.{name}" for name in metrics.__all__},
        EMA="write AveragedWeights()",
        ModelCheckpoint="write Checkpoint(path)",
        SwapEMAWeights="write AveragedWeights()",
        clip_grad_norm_="write ClipNorm(max_norm), among a trainer's callbacks",
        clip_grad_value_="write ClipValue(max_value), among a trainer's callbacks",
    )
