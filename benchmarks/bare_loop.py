"""Prints images per second of cgan's step on digits in a loop that does nothing else."""

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batches, Deck
from ganmodels.data.builtin import BUILTIN
from ganmodels.data.packed import open_packed, pack
from ganmodels.games.match import Match
from ganmodels.merging import settings
from worker.engine import autocast_dtype, describe
from worker.settings import Settings

STEPS = 1450
CPU = torch.device("cpu")

torch.set_num_threads(Settings().train_threads)
with TemporaryDirectory() as directory:
    manifest = pack(BUILTIN["digits"](), Path(directory))
    dataset = open_packed(Path(directory))
    chosen = dataset.training_indices
    items, labels = dataset.items[chosen], dataset.labels[chosen]
resolved = settings("cgan", {"steps": 1500}, len(items))
resolved |= {"dataset": manifest.id, "space": manifest.space.model_dump(mode="json")}
config = TrainConfig.model_validate_json(json.dumps(resolved))
batches = Batches(items, labels, config.space, config.optimisation.batch_size, 0, CPU)
dtype = autocast_dtype(describe(config, CPU, None))
match = Match(config, CPU, dtype)
deck = Deck(batches.at)
for _ in range(50):
    match.play(deck)
began = time.perf_counter()
for _ in range(STEPS):
    match.play(deck)
print(STEPS * config.optimisation.batch_size / (time.perf_counter() - began))
