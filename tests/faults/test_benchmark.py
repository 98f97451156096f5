"""Small versions of the benchmark's faults: whatever it prints, every figure must hold."""

import subprocess
import sys
from pathlib import Path

import pytest

SECTIONS = {
    "kills": 20,
    "storm": 20,
    "sigterm": 4,
    "redis": 1,
    "two-workers": 20,
    "frozen": 1,
    "full-disk": 2,
    "slow-disk": 1,
    "nan": 10,
}


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_nothing_is_lost(section):
    command = [sys.executable, "-m", "benchmarks.faults", section, "--quick"]
    finished = subprocess.run(
        [*command, "--trials", str(SECTIONS[section])],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
