"""Narrow a random search in stages: wide ranges first, then those of the best trials."""

from __future__ import annotations

import math
import statistics
import sys

from scripts.gallery import _drawings, harness
from scripts.gallery.harness import mean
from scripts.gallery.random_search import SPACE, trials
from xpnet.training import LogUniform, Trial

ROWS = ("L10",)
TITLE = "random search narrowed in stages"

STAGES, WIDER = 3, 1.5


def run(demo: harness.Demo) -> None:
    """Search three times, each time about the values of the best sixth of the trials before."""
    count, epochs = demo.pick(24, 50), demo.pick(30, 40)
    space = SPACE
    stages: list[list[Trial]] = []
    for stage in range(1, STAGES + 1):
        found = trials(demo, space, count, epochs, seed=STAGES * demo.seed + stage)
        stages.append(found)
        drawn = space["lr"]
        inside = sum(drawn.low <= trial.values["lr"] <= drawn.high for trial in found)
        words = f"stage {stage}, lr {drawn.low:.2g} to {drawn.high:.2g}"
        demo.figure(f"{words}: draws within", inside, str(count), inside == count)
        demo.note(f"{words}: best accuracy", found[0].score)
        space = about(found[: count // 6])
    first, last = ([trial.score for trial in stages[k]] for k in (0, -1))
    demo.at_least("the last stage's best", last[0], demo.pick(0.4, 0.6))
    demo.at_least(
        "best five of the last stage less those of the first, mean",
        mean(last[:5]) - mean(first[:5]),
        0.0,
    )
    demo.between("median accuracy of the first stage", statistics.median(first), (0.03, 0.25))
    demo.at_least(
        "median of the last stage less that of the first",
        statistics.median(last) - statistics.median(first),
        demo.pick(0.15, 0.25),
    )
    left = space["lr"]
    demo.at_most("decades of rates left, of 4", math.log10(left.high / left.low), 0.8)
    _drawings.scattered(
        {
            f"stage {k}": (
                [trial.values["lr"] for trial in found],
                [trial.score for trial in found],
            )
            for k, found in enumerate(stages, 1)
        },
        demo.picture("search_stages"),
        xlabel="learning rate",
        ylabel=f"validation accuracy after {epochs} epochs",
        title=f"{STAGES} stages of {count} trials",
    )


def about(best: list[Trial]) -> dict[str, LogUniform]:
    """Return the ranges that the values of some trials span, a little wider on both sides."""
    ranges = {}
    for name, whole in SPACE.items():
        values = [trial.values[name] for trial in best]
        low, high = min(values) / WIDER, max(values) * WIDER
        ranges[name] = LogUniform(max(low, whole.low), min(high, whole.high))
    return ranges


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
