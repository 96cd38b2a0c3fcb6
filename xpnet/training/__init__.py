"""Training: the loop, its record, its checkpoints, its profile and what can be hung onto it."""

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
]
