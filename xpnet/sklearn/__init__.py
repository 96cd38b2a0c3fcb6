"""Networks as estimators of scikit-learn: in pipelines, grid searches and cross-validation.

``estimators.py`` holds the two classes, ``base.py`` what both are: their settings, and training by
:class:`xpnet.Trainer`.  ``inputs.py`` says what samples and targets may be, ``targets.py`` how a
network learns them and what its scores answer, ``parts.py`` which network and which optimizer the
settings stand for.
"""

from typing import TYPE_CHECKING

from xpnet.checks import names_in

try:
    from xpnet.sklearn.estimators import NetworkClassifier, NetworkRegressor
except ImportError as error:
    if (error.name or "").partition(".")[0] != "sklearn":
        raise
    raise ImportError(
        'xpnet.sklearn needs scikit-learn 1.6 or later: run `pip install "xpnet[sklearn]"`'
    ) from None

__all__ = ["NetworkClassifier", "NetworkRegressor"]

if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(
        __name__,
        __all__,
        MLPClassifier="write NetworkClassifier",
        MLPRegressor="write NetworkRegressor",
        NeuralNetClassifier="write NetworkClassifier",
        NeuralNetRegressor="write NetworkRegressor",
    )
