"""The storage layer below the jobs: killed and refused at every call, cut off, flipped."""

from collections.abc import Iterator

from benchmarks.fault_lab.report import Report, exactly, skipped
from benchmarks.fault_lab.service import new_home
from tests.faults import crash_points, power_loss, torn
from tests.faults.api import serving
from tests.faults.api_killed import lost_replies

_REFUSALS = (("fsync", "EIO"), ("write", "ENOSPC"), ("rename", "EIO"))


def saves(trials: int, seed: int) -> Iterator[Report]:
    """Every call of a commit once, by strace; ``trials`` and ``seed`` decide nothing here."""
    try:
        yield _calls("kill -9 at a call of a save", crash_points.kill_at_every_call())
        for name, error in _REFUSALS:
            report = crash_points.fail_every_call(name, error)
            yield _calls(f"{error} at a {name} of a save", report)
    except crash_points.Unavailable as error:
        yield skipped("kill -9 at a call of a save", seed, str(error))


def _calls(fault: str, report: crash_points.Report) -> Report:
    points = report.points
    return Report(
        fault=fault,
        trials=points,
        seed=0,
        figures=(
            exactly("loadable", report.loadable, points),
            exactly("visible only after its rename", report.visible_only_after_rename, points),
            exactly("not acknowledged", report.not_acknowledged, points),
            exactly("nothing left after a sweep", report.swept_clean, points),
        ),
    )


def power_cuts(trials: int, seed: int) -> Iterator[Report]:
    """Legal states after a power cut, and every sync left out in turn."""
    found = power_loss.explore(trials, seed, killed_lives=12)
    yield Report(
        fault="power cut (model of the disk)",
        trials=found.states,
        seed=seed,
        figures=(exactly("states with a loss", len(found.violations), 0),),
    )
    for fault, report in (
        ("one sync left out", power_loss.leave_out_each_sync(seed)),
        ("one sync left out after a kill", power_loss.leave_out_syncs_after_a_kill(seed)),
    ):
        noticed = report.syncs - len(report.unnoticed)
        figure = exactly("noticed by the model", noticed, report.syncs)
        yield Report(fault=fault, trials=report.syncs, seed=seed, figures=(figure,))


def damages(trials: int, seed: int) -> Iterator[Report]:
    """Bits flipped and files cut off, one at a time, anywhere in a checkpoint."""
    for fault, damage in (("one bit flipped", torn.flip_bits), ("one file cut", torn.cut_files)):
        with new_home() as home:
            report = damage(home, trials, seed)
        yield Report(
            fault=f"{fault} in a checkpoint",
            trials=trials,
            seed=seed,
            figures=(
                exactly("detected", report.detected, trials),
                exactly("the one before used", report.fell_back, trials),
            ),
        )


def replies(trials: int, seed: int) -> Report:
    """The API killed while it accepts jobs, started again, and asked again by the same keys."""
    with serving() as api:
        report = lost_replies(api, trials, seed)
    return Report(
        fault="kill -9 of the API while it accepts a job",
        trials=trials,
        seed=seed,
        lost=report.lost,
        duplicated=report.duplicates,
        figures=(
            exactly("jobs for keys", report.jobs, trials),
            exactly("lost or doubled", report.lost + report.duplicates, 0),
        ),
    )
