"""A search by Optuna: it proposes and is told; trials that promise little end early.

    python -m scripts.examples.optuna_search [TRIALS]

It needs ``pip install optuna``.
"""

import sys
from typing import Any

import optuna

import xpnet
from xpnet import models
from xpnet.data import Dataset
from xpnet.training import Callback, Trainer

EPOCHS = 9


class Pruning(Callback):
    """The end of a fit that Optuna prunes."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def epoch_ends(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Report the epoch, and end the fit if it is not worth going on."""
        self.trial.report(row["validation_accuracy"], row["epoch"])
        if self.trial.should_prune():
            trainer.stop()


def search(train: Dataset, val: Dataset, trials: int) -> optuna.Study:
    """Return a study of a learning rate and a hidden size, for digits."""
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.SuccessiveHalvingPruner(reduction_factor=3),
    )
    for _ in range(trials):
        trial = study.ask()
        lr = trial.suggest_float("lr", 1e-4, 0.1, log=True)
        hidden = trial.suggest_int("hidden", 8, 128, log=True)
        net = models.mlp((hidden,), 10, input_shape=(1, 28, 28))
        loss, rule = xpnet.SoftmaxCrossEntropy(), xpnet.Adam(lr=lr)
        trainer = Trainer(net, loss, rule, callbacks=[Pruning(trial)])
        trainer.fit(train, EPOCHS, validation=val)
        if trainer.epoch < EPOCHS:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, trainer.evaluate(val).accuracy)
    return study


def main(trials: str = "20") -> None:
    """Search on the digits that come with xpnet, and print the best."""
    train, val = xpnet.data.load("digits")[0].split(0.2, stratify=True)
    best = search(train, val, int(trials)).best_trial
    print(f"{best.value:.3f} with lr {best.params['lr']:.2g}, hidden {best.params['hidden']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
