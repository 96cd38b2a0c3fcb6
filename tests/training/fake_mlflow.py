"""What of mlflow a callback calls, with mlflow's own parameters; it keeps all in memory."""

from __future__ import annotations

import itertools
from types import ModuleType, SimpleNamespace
from typing import Any


class FakeRun:
    """A run, active within its context."""

    def __init__(self, mlflow: FakeMLflow, number: int, name: str | None) -> None:
        self.mlflow = mlflow
        self.info = SimpleNamespace(
            run_id=f"run{number}", run_name=name, status="RUNNING", artifact_uri=f"run{number}"
        )
        self.params: dict[str, str] = {}
        self.logged: list[tuple[str, SimpleNamespace]] = []
        self.files: dict[str, str] = {}

    @property
    def data(self) -> SimpleNamespace:
        latest = {name: metric.value for name, metric in self.logged}
        return SimpleNamespace(params=dict(self.params), metrics=latest)

    def __enter__(self) -> FakeRun:
        return self

    def __exit__(self, *error: object) -> None:
        self.mlflow.end_run()


class FakeMLflow(ModuleType):
    """The module."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.runs: dict[str, FakeRun] = {}
        self.active: list[FakeRun] = []
        self.numbers = itertools.count()
        mlflow = self

        class MlflowClient:
            def get_metric_history(self, run_id: str, key: str) -> list[SimpleNamespace]:
                return [metric for name, metric in mlflow.runs[run_id].logged if name == key]

        self.MlflowClient = MlflowClient
        self.artifacts = SimpleNamespace(load_text=self.load_text)

    def active_run(self) -> FakeRun | None:
        return self.active[-1] if self.active else None

    def start_run(
        self, run_id: Any = None, experiment_id: Any = None, run_name: Any = None,
        nested: Any = False, parent_run_id: Any = None, tags: Any = None, description: Any = None,
        log_system_metrics: Any = None,
    ) -> FakeRun:  # fmt: skip
        if self.active and not nested:
            raise RuntimeError(f"Run with UUID {self.active[-1].info.run_id} is already active.")
        run = self.runs[run_id] if run_id else FakeRun(self, next(self.numbers), run_name)
        run.info.status = "RUNNING"
        self.runs[run.info.run_id] = run
        self.active.append(run)
        return run

    def end_run(self, status: str = "FINISHED") -> None:
        if self.active:
            self.active.pop().info.status = status

    def get_run(self, run_id: str) -> FakeRun:
        return self.runs[run_id]

    def log_params(self, params: Any, synchronous: Any = None, run_id: Any = None) -> None:
        kept = self.runs[run_id or self.active[-1].info.run_id].params
        for name, value in params.items():
            if kept.setdefault(name, str(value)) != str(value):
                raise RuntimeError("Changing param values is not allowed.")

    def log_metrics(
        self, metrics: Any, step: Any = None, synchronous: Any = None, run_id: Any = None,
        timestamp: Any = None, model_id: Any = None, dataset: Any = None,
    ) -> None:  # fmt: skip
        for name, value in metrics.items():
            self.runs[run_id].logged.append((name, SimpleNamespace(step=step, value=value)))

    def log_text(self, text: str, artifact_file: str, run_id: Any = None) -> None:
        self.runs[run_id].files[artifact_file] = text

    def load_text(self, artifact_uri: str) -> str:
        run_id, _, file = artifact_uri.partition("/")
        return self.runs[run_id].files[file]
