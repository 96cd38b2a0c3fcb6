"""Optimizers: rules that move parameters against their gradients.

``rules.py`` holds the rules, each equation once in words and once in code; ``base.py`` what they
have in common.
"""

from xpnet.optimizers.base import Optimizer
from xpnet.optimizers.rules import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSprop",
]
