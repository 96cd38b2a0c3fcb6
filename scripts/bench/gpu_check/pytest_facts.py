"""A pytest plugin: each test that fails is a fact at once, and now and then the counts so far."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts.bench.facts import Facts

EVERY = 200
"""Tests after which the counts so far are added."""
LONGEST = 2000
"""Letters of what a failed test says, from its end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --facts."""
    parser.addoption("--facts", type=Facts, default=Facts(), metavar="FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the tests of all processes from the one that gathers them."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Watch(config.getoption("--facts")))


class Watch:
    """Counts outcomes."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.counts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test, and say what fails."""
        if report.failed:
            said = report.longreprtext[-LONGEST:]
            self.facts.add("failed test", test=report.nodeid, when=report.when, said=said)
        if report.when == "call" or not report.passed:
            self.counts[report.outcome] += 1
            if self.counts.total() % EVERY == 0:
                self.facts.add("tests", exit_status=None, **self.counts)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Add the counts, also where it was interrupted."""
        self.facts.add("tests", exit_status=int(exitstatus), **self.counts)
