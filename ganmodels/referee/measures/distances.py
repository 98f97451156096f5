"""Euclidean distances in blocks of bounded memory, in the precision of what is given."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

# 64 MiB of distances at a time; a few such arrays live at once.
_BLOCK_DISTANCES = 8 << 20
_EXACT_DIMENSIONS = 16


class Block(NamedTuple):
    """Distances [rows, n] of some rows of one set to all of another, and the first row's index."""

    start: int
    distances: Tensor

    def without_self(self) -> Tensor:
        """Distances within one set, with infinity from each item to itself."""
        kept = self.distances.clone()
        rows = torch.arange(len(kept))
        kept[rows, self.start + rows] = torch.inf
        return kept


def blocks(some: Tensor, others: Tensor) -> Iterator[Block]:
    """Distances between sets [n, d] and [m, d], a block of rows at a time; O(n m d) in all."""
    rows = max(1, _BLOCK_DISTANCES // max(1, len(others)))
    # By products of matrices it is fast, but small distances drown in rounding.
    is_exact = some.shape[1] <= _EXACT_DIMENSIONS
    mode = "donot_use_mm_for_euclid_dist" if is_exact else "use_mm_for_euclid_dist"
    for start in range(0, len(some), rows):
        yield Block(start, torch.cdist(some[start : start + rows], others, compute_mode=mode))


def neighbour_radii(items: Tensor, neighbour: int) -> Tensor:
    """Distance [n] of each item to its k-th nearest other item; k is cut to n - 1."""
    rank = min(neighbour, len(items) - 1)
    radii = [block.without_self().kthvalue(rank, dim=1).values for block in blocks(items, items)]
    return torch.cat(radii)


def nearest(some: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Distance [n] and index [n] of the nearest of ``others`` for each of ``some``."""
    found = [block.distances.min(dim=1) for block in blocks(some, others)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])
