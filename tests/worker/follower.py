"""Follows a leader through all matches: ``python -m tests.worker.follower PORT``."""

import sys

import torch
from torch.distributed import TCPStore

from ganmodels.several import Several
from tests.ganmodels.builders import CPU
from tests.worker.shared_matches import CASES, deck_of, match_of, states_are_equal
from worker.following import follow

if __name__ == "__main__":
    torch.set_num_threads(1)
    store = TCPStore("127.0.0.1", int(sys.argv[1]), 2, is_master=False)
    group = Several.join(store, 1, 2, CPU)
    for changes in CASES.values():
        match = match_of(group, changes)
        follow(match, deck_of(match))
        states_are_equal(match)
    group.leave()
