"""Training: the loop, its record, its checkpoints, its profile and what can be hung onto it."""

from typing import TYPE_CHECKING

from xpnet.checks import names_in
from xpnet.training import metrics
from xpnet.training.callbacks import (
    Callback,
    Checkpoint,
    HistoryFile,
    LearnsNothing,
    ProgressBar,
    Table,
)
from xpnet.training.history import History
from xpnet.training.metrics import Evaluation
from xpnet.training.profile import Profile, ProfileRow, profile_step
from xpnet.training.search import LogUniform, Trial, random_search
from xpnet.training.trainer import DivergedError, Trainer
from xpnet.training.warming import warm_up

__all__ = [
    "Callback",
    "Checkpoint",
    "DivergedError",
    "Evaluation",
    "History",
    "HistoryFile",
    "LearnsNothing",
    "LogUniform",
    "Profile",
    "ProfileRow",
    "ProgressBar",
    "Table",
    "Trainer",
    "Trial",
    "profile_step",
    "random_search",
    "warm_up",
]

if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(
        __name__,
        __all__,
        **{name: f"write xpnet.training.metrics.{name}" for name in metrics.__all__},
    )
