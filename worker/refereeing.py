"""The referee at a job: its panel on disk, and what its warnings and stop rules lead to."""

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors

from ganmodels.config import TrainConfig
from ganmodels.data.packed import PackedDataset
from ganmodels.games.gan import Match
from ganmodels.labels import Clusters
from ganmodels.referee.config import Failure
from ganmodels.referee.health import Diagnosis
from ganmodels.referee.panel import Panel
from ganmodels.referee.referee import Referee
from ganmodels.referee.watcher import Watcher
from worker.endings import Ending
from worker.store.files import replace_file
from worker.store.job import Job
from worker.store.records import StoppedBy
from worker.store.tensorfile import safetensors_parts

PANEL = "panel.safetensors"


def open_referee(
    job: Job,
    config: TrainConfig,
    dataset: PackedDataset,
    clusters: Clusters | None,
    device: torch.device,
) -> Referee:
    """The referee of a job whose attempt has begun: it remembers the readings that count."""
    panel = open_panel(job, config, dataset)
    watcher = Watcher(panel, dataset, clusters, device)
    return Referee(config, watcher, job.metrics())


def open_panel(job: Job, config: TrainConfig, dataset: PackedDataset) -> Panel:
    """The panel of the job: as it was saved, so that all attempts are watched alike, or a new one.

    One that cannot be read is chosen again: it follows from the dataset and the game.
    """
    path = job.path / PANEL
    try:
        return Panel(**parse_tensors(path.read_bytes()))
    except (FileNotFoundError, SafetensorError, TypeError):
        panel = Panel.choose(dataset, config.game)
        replace_file(path, b"".join(safetensors_parts(panel._asdict())))
        return panel


def act(config: TrainConfig, begun: tuple[Diagnosis, ...], rollbacks: int) -> Ending | None:
    """What the gravest new warning leads to, if anything; ``rollbacks`` were made before."""
    for diagnosis in begun:
        action = getattr(config.referee.on_warning, diagnosis.code)
        if action == "continue":
            continue
        if action == "rollback" and rollbacks < config.referee.max_rollbacks:
            return Ending("rollback", diagnosis)
        return Ending("pause" if action == "pause" else "fail", diagnosis)
    return None


def may_roll_back(job: Job, failure: Failure) -> bool:
    """Whether the job wants to be rolled back after a failure, and was not too often yet."""
    wanted = job.config().referee
    is_wanted = getattr(wanted.on_warning, failure) == "rollback"
    return is_wanted and job.record().rollbacks < wanted.max_rollbacks


def stop_by_rule(config: TrainConfig, match: Match) -> Ending | None:
    """Why there is nothing more to gain, if a stop rule says so."""
    most = config.stop.max_images
    if most is not None and match.images_seen >= most:
        detail = f"{match.images_seen} images were seen; max_images is {most}"
        return Ending(
            "finished", None, StoppedBy(rule="max_images", detail=detail, step=match.step)
        )
    return None
