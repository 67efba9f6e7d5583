"""The benchmarks run; what they measure is for whoever runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import lake

pytestmark = pytest.mark.zoneless  # what is claimed is that they run

FOLDER = Path(__file__).parents[1] / "benchmarks"
SAYS = {
    "anomalies": ("login_failure_anomalies", "5 failures in 10 minutes", "hourly median/MAD > 3.5", "quiet with any"),
    "flatten": ("auditframe.flatten", "pandas.json_normalize"),
    "reports": ("bare [s]", "peak [MiB]", "events_per_day"),
    "lake": ("import", "merge", "verify", "rebuild", "pandas", "polars", "of the JSONL", "gzip -9"),
    "snapshot": ("CPU, an event [us]", "peak [MiB]"),
    "collection": ("workers_8_s", "ratio", "sdk_cpu_us"),
    "startup": ("import auditframe", "auditframe --help", "auditframe report"),
    "reliability": ("random worlds", "races of four writers", "flipped bytes", "power cuts", "random sequences"),
}
"""What a quick run of each benchmark names."""


def test_every_benchmark_is_tried() -> None:
    assert {path.stem for path in FOLDER.glob("[!_]*.py")} == set(SAYS)


@pytest.mark.benchmark
@pytest.mark.parametrize("name", SAYS)
def test_a_quick_run_measures_everything(name: str) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603

    assert all(word in done.stdout for word in SAYS[name])


def test_slopes_are_of_processor_time_over_all_sizes_and_over_the_last_two() -> None:
    figures = [
        {"events": events, "verify": {"took_s": 1.0, "took_cpu_s": cpu_s}}
        for events, cpu_s in ((10, 1.0), (100, 1.0), (1_000, 10.0))
    ]

    assert lake.slopes_of(figures, "verify") == pytest.approx({"all": 0.5, "last": 1.0})
