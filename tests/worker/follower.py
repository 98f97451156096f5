"""Follows a leader through matches: ``python -m tests.worker.follower PORT CASE...``."""

import sys

import torch
from torch.distributed import TCPStore

from ganmodels.several import Several
from tests.ganmodels.builders import CPU
from tests.worker.shared_matches import CASES, MORE_CASES, deck_of, match_of, states_are_equal
from worker.following import follow

if __name__ == "__main__":
    torch.set_num_threads(1)
    store = TCPStore("127.0.0.1", int(sys.argv[1]), 2, is_master=False)
    group = Several.join(store, 1, 2, CPU)
    for case in sys.argv[2:]:
        match = match_of(group, {**CASES, **MORE_CASES}[case])
        follow(match, deck_of(match))
        states_are_equal(match)
    group.leave()
