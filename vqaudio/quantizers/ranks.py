"""Sums over the processes of a distributed run, and what a single process makes of them.

A codebook must be the same on all ranks after every step, as if one process had seen the joined
batch: the ranks' vectors, one rank after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def average_over_ranks(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all ranks, in one collective."""
    if not _distributed() or not tensors:
        return
    joined = sum_over_ranks(torch.cat([tensor.flatten() for tensor in tensors]))
    joined /= dist.get_world_size()
    means = torch.split(joined, [tensor.numel() for tensor in tensors])
    for tensor, mean in zip(tensors, means, strict=True):
        tensor.copy_(mean.view_as(tensor))
