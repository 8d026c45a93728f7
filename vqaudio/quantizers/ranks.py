"""Sums over the processes of a distributed run, and what a single process makes of them.

A codebook must be the same on all ranks after every step, as if one process had seen the joined
batch: the ranks' vectors, one rank after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum of `tensor` over all ranks, the same on each; `tensor` itself is changed."""
    if _distributed():
        dist.all_reduce(tensor)
    return tensor


class Place(NamedTuple):
    """Where this rank's vectors stand in the joined batch, as int64 scalars on the device."""

    offset: Tensor
    total: Tensor


def place_in_joined_batch(count: Tensor) -> Place:
    """The place of this rank's `count` (int64 scalar) vectors."""
    if not _distributed():
        return Place(torch.zeros_like(count), count)
    counts = count.new_zeros(dist.get_world_size())
    counts[dist.get_rank()] = count
    dist.all_reduce(counts)
    return Place(counts[: dist.get_rank()].sum(), counts.sum())
