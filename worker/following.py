"""What a process does that follows: set up what the leader has, and play as it says."""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from ganmodels.data.batches import Deck
from ganmodels.games.match import Match
from ganmodels.machine import is_out_of_memory
from ganmodels.several import Order, Several
from worker.engine import be_deterministic
from worker.group import OUT_OF_MEMORY_STATUS, START_SECONDS, Task, ready
from worker.material import Material
from worker.roll_call import answering
from worker.setup import after_rollbacks, find_clusters, make_deck, make_match
from worker.store import Store
from worker.store.checkpoints import Checkpoint


def play_share(task: Task) -> None:
    """Play this process's share of a job until the leader says that it is enough."""
    torch.set_num_threads(task.environment.threads)
    place, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    patience = timedelta(seconds=START_SECONDS)
    meeting = TCPStore(address, port, size, is_master=False, timeout=patience)
    gpu = int(os.environ["LOCAL_RANK"])
    device = torch.device("cuda", gpu) if task.cuda else torch.device("cpu")
    job = Store(task.home).jobs.get(task.job)
    # Before this process has used a GPU.
    be_deterministic(job.config())
    meeting.set(ready(place), "")
    with answering(meeting, place):
        group = Several.join(meeting, place, size, device)
        try:
            follow(*_set_up(task, group, device))
        except Exception as error:
            if is_out_of_memory(error):
                # At once: nothing here is to be put in order, and the leader waits.
                os._exit(OUT_OF_MEMORY_STATUS)
            raise
        group.leave()


def follow(match: Match, deck: Deck) -> None:
    """Do as the leader says until it says that it is enough."""
    deeds: Mapping[Order, Callable[[], object]] = {
        Order.PLAY: partial(match.play, deck),
        Order.READ: match.read_metrics,
        Order.AGREE: match.agree,
    }
    while deed := deeds.get(match.group.hear()):
        deed()


def _set_up(task: Task, group: Several, device: torch.device) -> tuple[Match, Deck]:
    store = Store(task.home)
    job = store.jobs.get(task.job)
    config = after_rollbacks(job.config(), task.rollbacks)
    material = Material.of(store, config)
    checkpoint = Checkpoint(task.checkpoint) if task.checkpoint else None
    clusters = find_clusters(config, material.dataset, checkpoint, group)
    match = make_match(config, device, task.environment, checkpoint, job.start(), group)
    return match, make_deck(config, material, clusters, device, group)
