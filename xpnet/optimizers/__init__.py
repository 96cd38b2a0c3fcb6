"""Optimizers: rules that move parameters against their gradients.

``rules.py`` holds the rules, each equation once in words and once in code; ``base.py`` what they
have in common.
"""

from typing import TYPE_CHECKING

from xpnet.checks import names_in
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

if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(
        __name__,
        __all__,
        GradientDescent="write SGD(lr=0.1)",
    )
