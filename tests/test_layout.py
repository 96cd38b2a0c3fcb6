"""Each module's tests are found under its name: layers/conv.py has tests/layers/test_conv.py."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent

# Modules that have no test file of their own, under the file that tests them.
TESTED_BY = {
    # one table, and what is true of every row of it
    "layers/test_every_layer.py": (
        "layers/activation.py", "layers/base.py", "layers/conv.py", "layers/fit.py",
        "layers/linear.py", "layers/pool.py", "layers/shape.py",
    ),
    "models/test_models.py": ("models/convnet.py", "models/dense.py"),

    "book/test_networks.py": (
        "book/_globals.py", "book/_network.py", "book/ch04_two_layer_net.py",
        "book/deep_convnet.py", "book/multi_layer_net.py", "book/multi_layer_net_extend.py",
        "book/simple_convnet.py", "book/two_layer_net.py",
    ),
    "cli/test_train.py": ("cli/datasets.py", "cli/runs.py"),
    "cli/test_predict.py": ("cli/saved.py",),
    "parallel/test_mpi.py": ("cli/ranks.py",),
    "devices/test_host_code.py": ("devices/host_cores.py",),
    "parallel/test_nccl.py": ("devices/nccl.py",),
    "scripts/gallery/test_mnist.py": ("scripts/gallery/*.py",),
    # faster bodies, each against the generic one
    "ops/test_parity.py": ("ops/numba/*.py", "ops/numpy/*.py"),
    "ops/test_cupy.py": ("ops/cupy/*.py",),
    # ops that are seen at work in what calls them
    "training/test_trainer.py": ("ops/batch.py", "training/prepare.py", "training/stats.py"),
    "layers/test_sequential.py": ("layers/buffers.py", "layers/plan.py", "ops/elementwise.py"),
    "test_losses.py": ("ops/loss.py",),
    "optimizers/test_rules.py": ("ops/update.py", "optimizers/base.py"),
    # parts of what is tested as a whole
    "book/test_layers.py": ("book/layer_naive.py",),
    "sklearn/test_estimators.py": ("sklearn/base.py",),
    "devices/test_cupy.py": ("devices/cuda_graphs.py",),
    "devices/test_base.py": ("devices/standard.py",),
    "data/test_augment.py": ("data/draws.py",),
    "data/test_spreadsheet.py": ("data/archives.py",),
    "test_checks.py": ("config.py",),
    "test_serialize.py": ("arrayfiles.py",),
    "training/test_callbacks.py": ("training/history.py",),
    "training/test_control.py": (
        "training/averaging.py", "training/clipping.py", "training/plateau.py",
    ),
    "training/test_steps.py": ("training/device_epoch.py",),
    "scripts/bench/test_cpu.py": (
        "scripts/bench/contenders/*.py", "scripts/bench/tasks.py", "scripts/bench/workloads.py",
    ),
    "scripts/bench/test_gpu.py": (
        "scripts/bench/gpu_contenders/*.py", "scripts/bench/gpu_tasks.py",
    ),
    "scripts/bench/test_gpu_check.py": ("scripts/bench/facts.py", "scripts/bench/gpu_check/*.py"),
    "scripts/bench/test_gpu_results.py": ("scripts/bench/readme.py",),
    "scripts/bench/test_scale.py": ("scripts/bench/scale/*.py",),
    "scripts/bench/test_sass.py": ("scripts/bench/sass_interpreter.py",),
}  # fmt: skip

# Test files that bear no module's name: they are about the whole, or about several modules at once.
TOPICS = {
    "book/test_networks.py", "book/test_programs.py",
    "devices/test_new_backend.py",
    "fuzz/test_fuzz.py",
    "layers/test_complex.py", "layers/test_every_layer.py", "layers/test_freezing.py",
    "mistakes/test_data.py", "mistakes/test_estimators.py", "mistakes/test_files.py",
    "mistakes/test_layers.py", "mistakes/test_optimizers.py", "mistakes/test_training.py",
    "models/test_models.py",
    "ops/test_clip_norm.py", "ops/test_cuda_source.py", "ops/test_cupy.py", "ops/test_parity.py",
    "scripts/bench/test_gpu_check.py", "scripts/bench/test_scale.py",
    "scripts/gallery/test_mutations.py", "scripts/gallery/test_seeds.py",
    "scripts/gallery/test_basics.py", "scripts/gallery/test_small.py", "scripts/test_check.py",
    "test_across_libraries.py", "test_architecture.py", "test_contributing.py", "test_emulator.py",
    "test_fixtures.py", "test_layout.py", "test_notebooks.py", "test_pickle.py",
    "test_readme.py", "test_step_cost.py",
    "scripts/test_interruptions.py",
    "training/test_control.py", "training/test_host_steps.py",
}  # fmt: skip


MODULES = sorted(
    path.relative_to(ROOT / "xpnet" if root == "xpnet" else ROOT)
    for root in ("xpnet", "scripts")
    for path in (ROOT / root).rglob("*.py")
    if not path.stem.startswith("__")
)


def mirrored(module: Path) -> Path:
    """Return the file that bears a module's name."""
    return module.with_name(f"test_{module.name.lstrip('_')}")


LACKING = [module for module in MODULES if not (TESTS / mirrored(module)).exists()]


def test_a_module_is_tested_under_its_name_or_stands_in_the_table():
    rows = [row for rows in TESTED_BY.values() for row in rows]
    untested = [
        mirrored(module)
        for module in LACKING
        if not any(fnmatch(module.as_posix(), row) for row in rows)
    ]
    assert untested == [], "write these files, or add rows to TESTED_BY"


def test_the_table_has_no_row_too_many():
    for file, rows in TESTED_BY.items():
        assert (TESTS / file).exists(), file
        for row in rows:
            assert any(fnmatch(module.as_posix(), row) for module in LACKING), row


def test_a_test_file_bears_a_modules_name_or_is_a_topic():
    found = {path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    assert found - {*map(mirrored, MODULES)} == {Path(topic) for topic in TOPICS}
