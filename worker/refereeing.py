"""The referee at a job: its panel on disk, and what its warnings and stop rules lead to."""

import math
import time
from collections.abc import Iterator

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors

from ganmodels.config import TrainConfig
from ganmodels.games.match import Match
from ganmodels.labels import Clusters
from ganmodels.referee.config import Failure, StopRules
from ganmodels.referee.config import Referee as RefereeSettings
from ganmodels.referee.findings import Figure
from ganmodels.referee.health import Diagnosis
from ganmodels.referee.history import Row
from ganmodels.referee.panel import Panel
from ganmodels.referee.referee import Reading, Referee
from ganmodels.referee.stopping import equilibrium_reached, plateau_reached
from ganmodels.referee.watcher import Watcher
from worker.best import competing
from worker.endings import Ending, TrainingDiverged
from worker.material import Material
from worker.store import Store
from worker.store.files import replace_file
from worker.store.job import Job
from worker.store.records import StoppedBy
from worker.store.tensorfile import safetensors_parts

PANEL = "panel.safetensors"
_LOOK_SECONDS = 2.0


def open_panel(job: Job, config: TrainConfig, material: Material) -> Panel:
    """The panel of the job: as it was saved, so that all attempts are watched alike, or a new one.

    One that cannot be read is chosen again: it follows from the datasets and the game.
    """
    path = job.path / PANEL
    try:
        return Panel(**parse_tensors(path.read_bytes()))
    except (FileNotFoundError, SafetensorError, TypeError):
        panel = Panel.choose(material.dataset, config.game, material.source)
        replace_file(path, b"".join(safetensors_parts(panel._asdict())))
        return panel


class StopRulesAtJob:
    """Whether there is nothing more to gain: by images seen, and by the job's evaluations."""

    def __init__(self, store: Store, job: Job, rules: StopRules) -> None:
        self._store, self._job, self._rules = store, job, rules
        self._next_look = 0.0

    def by_images(self, match: Match) -> StoppedBy | None:
        """Whether enough images were seen."""
        most = self._rules.max_images
        if most is None or match.images_seen < most:
            return None
        detail = f"{match.images_seen} images were seen; max_images is {most}"
        return StoppedBy(rule="max_images", detail=detail, step=match.step)

    def reason(self, match: Match) -> StoppedBy | None:
        """The first rule that is met, if any."""
        if enough := self.by_images(match):
            return enough
        for rule, reason in self._met_by_evaluations():
            return StoppedBy(rule=rule, detail=reason, step=match.step)
        return None

    def _met_by_evaluations(self) -> Iterator[tuple[str, str]]:
        """Rules that are met, and why; files are read for it, so not at every reading."""
        plateau, equilibrium = self._rules.plateau, self._rules.equilibrium
        if not (plateau or equilibrium) or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        if plateau and (why := plateau_reached(plateau, self._figures(plateau.measure))):
            yield "plateau", why
        accuracies = self._figures("critic_accuracy")
        if equilibrium and (why := equilibrium_reached(equilibrium, accuracies)):
            yield "equilibrium", why

    def _figures(self, name: str) -> list[Figure]:
        """One figure of all evaluations whose figures mean the same, by step."""
        found = sorted(competing(self._store, self._job).items())
        findings = [record.findings for _, record in found if record.findings]
        return [one.figures[name] for one in findings if name in one.figures]


class JobReferee:
    """Reads a job's match, and says what its warnings and its stop rules lead to."""

    def __init__(self, referee: Referee, rules: StopRulesAtJob, job: Job) -> None:
        self._referee, self._rules, self._job = referee, rules, job
        self._wanted, self._record = job.config().referee, job.record()
        self.health = referee.health

    @classmethod
    def open(
        cls,
        store: Store,
        job: Job,
        config: TrainConfig,
        material: Material,
        clusters: Clusters | None,
        device: torch.device,
    ) -> "JobReferee":
        """For a job whose attempt has begun: it remembers the readings that count."""
        watcher = Watcher(open_panel(job, config, material), material.dataset, clusters, device)
        referee = Referee(config, watcher, job.metrics())
        return cls(referee, StopRulesAtJob(store, job, config.stop), job)

    def read(self, match: Match, means: dict[str, float]) -> tuple[Reading, Ending | None]:
        """What is seen now, and why the training is to end, if it is."""
        reading = self._referee.read(match, means)
        self.health = reading.health
        if ending := self._act(reading.begun):
            return reading, ending
        stopped_by = self._rules.reason(match)
        return reading, Ending("finished", None, stopped_by) if stopped_by else None

    def left_over(self, match: Match) -> Ending | None:
        """What the last reading leads to, where whoever read it was lost before it was done.

        Somebody who has resumed the job since has overruled it.
        """
        if not match.step or match.step != self._referee.last_step:
            return None
        if self._record.resumed_after_attempt >= self._reader(match.step):
            return None
        if ending := self._act(self._referee.begun_last()):
            return ending
        stopped_by = self._rules.by_images(match)
        return Ending("finished", None, stopped_by) if stopped_by else None

    def _reader(self, step: int) -> int:
        """The attempt that wrote the row of a step."""
        for epoch in reversed(self._job.epochs()):
            if any(row["step"] == step for row in epoch.metrics()):
                return epoch.number
        return 0

    def _act(self, begun: tuple[Diagnosis, ...]) -> Ending | None:
        """What the gravest new warning leads to."""
        for diagnosis in begun:
            action = getattr(self._wanted.on_warning, diagnosis.code)
            if action == "rollback" and may_roll_back(
                self._wanted, diagnosis.code, self._record.rollbacks
            ):
                return Ending("rollback", diagnosis)
            if action != "continue":
                return Ending("pause" if action == "pause" else "fail", diagnosis)
        return None


def may_roll_back(wanted: RefereeSettings, failure: Failure, rollbacks: int) -> bool:
    """Whether a job is to be rolled back after a failure, having been so some times before."""
    is_wanted = getattr(wanted.on_warning, failure) == "rollback"
    return is_wanted and rollbacks < wanted.max_rollbacks


def check_signals(step: int, columns: Row) -> None:
    """Make sure that what was seen of the match is finite.

    Raises:
        TrainingDiverged: when it is not; the losses may not have shown it yet.
    """
    for name, value in columns.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise TrainingDiverged(step, name)
