"""Sums over the processes of a distributed run, and what a single process makes of them.

A codebook must be the same on all ranks after every step, as if one process had seen the joined
batch: the ranks' vectors, one rank after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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


def own_slot(count: Tensor) -> Tensor:
    """[ranks]: this rank's `count` (scalar) in its place, zeros elsewhere; the sum over all ranks
    is what `place_in` takes."""
    if not _distributed():
        return count.view(1)
    slots = count.new_zeros(dist.get_world_size())
    slots[dist.get_rank()] = count
    return slots


def place_in(counts: Tensor) -> Place:
    """The place of this rank's vectors, from how many each rank has, [ranks]."""
    rank = dist.get_rank() if _distributed() else 0
    return Place(counts[:rank].sum(), counts.sum())


_waiting: list[tuple[Tensor, Callable[[Tensor], None]]] | None = None
"""Sums that have been asked for inside of `one_collective`, and who takes them."""


def sum_then(tensor: Tensor, then: Callable[[Tensor], None]) -> None:
    """Hands the sum of `tensor` over all ranks to `then`: now, or when `one_collective` ends."""
    if _waiting is None:
        then(sum_over_ranks(tensor))
    else:
        _waiting.append((tensor, then))


@contextmanager
def one_collective() -> Iterator[None]:
    """Inside, what is asked of `sum_then` is put off, and then summed in one collective.

    What the takers ask for in turn makes another one. All ranks ask for the same sums in the same
    order. Without other ranks nothing is put off.
    """
    global _waiting
    if not _distributed():
        yield
        return
    _waiting = []
    try:
        yield
        while _waiting:
            asked, _waiting = _waiting, []
            flat = sum_over_ranks(torch.cat([tensor.flatten() for tensor, _ in asked]))
            sums = torch.split(flat, [tensor.numel() for tensor, _ in asked])
            for (tensor, then), total in zip(asked, sums, strict=True):
                then(total.view_as(tensor))
    finally:
        _waiting = None


def average_over_ranks(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all ranks, in one collective."""
    if not _distributed() or not tensors:
        return
    joined = sum_over_ranks(torch.cat([tensor.flatten() for tensor in tensors]))
    joined /= dist.get_world_size()
    means = torch.split(joined, [tensor.numel() for tensor in tensors])
    for tensor, mean in zip(tensors, means, strict=True):
        tensor.copy_(mean.view_as(tensor))
