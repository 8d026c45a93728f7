"""What lies beside the steps at hand: zeros at the ends of a sequence, or the past of a stream.

Layers that look along time take `lengths`, which says what their input is:

* None: whole sequences, all of them as long as the tensor;
* a tensor [B]: whole sequences of these lengths, and padding after them;
* a `Flow`: a part of each of several sequences; what came before is remembered.

The same `forward` serves all three, so that a stream computes what the whole computes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor


class Flow:
    """Parts of sequences on their way through a stack of layers, and what these remember.

    A layer that looks ahead answers late: `lag` says by how many steps. Behind the lag the first
    steps out belong before the beginning, and steps after the end have to follow the last one;
    those count as zeros, as beside a whole sequence.
    """

    def __init__(
        self,
        states: Iterable[Tensor] = (),
        *,
        lag: int = 0,
        start: Tensor | None = None,
        stop: Tensor | None = None,
    ) -> None:
        """`states`, one a layer, are those that the last part left behind (none: the first part).

        `lag` may be negative for input that is early. `start` [B] is the place in its sequence of
        each first step of the input, `stop` [B] the length of each sequence; None where no step
        lies outside.
        """
        self.lag = lag
        self.left_behind: list[Tensor] = []
        self._states = iter(states)
        self._start = start
        self._stop = stop

    def surround(self, x: Tensor, *, left: int, extent: int, stride: int, dim: int) -> Tensor:
        """As the function `surround`."""
        right = extent - stride - left
        lag = -(-(self.lag + right) // stride)
        size = lag * stride - self.lag + left
        windows = x.shape[dim] // stride
        wide = self.remember(x, size, dim=dim)
        self.lag = lag
        if self._start is not None:
            self._start = (self._start - size + left) // stride
        if self._stop is not None:
            self._stop = -(-self._stop // stride)
        return wide.narrow(dim, 0, (windows - 1) * stride + extent)

    def remember(self, x: Tensor, size: int, *, dim: int = -1) -> Tensor:
        """[B, C, n] -> [B, C, size + n], along `dim`: the `size` steps before come first."""
        x = self.zero_outside(x, dim=dim)
        state = next(self._states, None)
        if state is None:
            shape = list(x.shape)
            shape[dim] = size
            state = x.new_zeros(shape)
        wide = torch.cat([state, x], dim=dim)
        self.left_behind.append(wide.narrow(dim, wide.shape[dim] - size, size))
        return wide

    def overlap(self, sums: Tensor, size: int) -> Tensor:
        """[B, C, size + m] -> [B, C, size]: sums that earlier parts have added to.

        What later parts will add to, the last m, is left behind.
        """
        state = next(self._states, None)
        if state is not None:
            sums = sums + F.pad(state, (0, sums.shape[-1] - state.shape[-1]))
        self.left_behind.append(sums[..., size:])
        return sums[..., :size]

    def upsample(self, stride: int, *, left: int) -> None:
        """A layer has made `stride` steps of each, `left` of them of the step before."""
        self.lag = self.lag * stride + left
        if self._start is not None:
            self._start = self._start * stride - left
        if self._stop is not None:
            self._stop = self._stop * stride

    def zero_outside(self, x: Tensor, *, dim: int = -1) -> Tensor:
        """`x` with zeros before the beginning and after the end of each sequence, along `dim`."""
        if self._start is None:
            return x
        places = self._start[:, None] + torch.arange(x.shape[dim], device=x.device)
        outside = places < 0
        if self._stop is not None:
            outside = outside | (places >= self._stop[:, None])
        return x.masked_fill(outside.unsqueeze(_other(dim)), 0.0)


Lengths = Tensor | Flow | None


def zero_beyond(x: Tensor, lengths: Lengths, *, dim: int = -1) -> Tensor:
    """[B, C, T], or with dim -2 [B, T, C]: zeros wherever a step is none of its sequence's."""
    if lengths is None:
        return x
    if isinstance(lengths, Flow):
        return lengths.zero_outside(x, dim=dim)
    beyond = torch.arange(x.shape[dim], device=x.device) >= lengths[:, None]
    return x.masked_fill(beyond.unsqueeze(_other(dim)), 0.0)


def surround(
    x: Tensor, lengths: Lengths, *, left: int, extent: int, stride: int = 1, dim: int = -1
) -> Tensor:
    """[B, C, T] -> [B, C, (ceil(T / stride) - 1) stride + extent]: room for windows.

    Windows of `extent` steps, one every `stride`; the first begins `left` steps before x. With
    dim -2 the steps are those of [B, T, C].
    """
    if isinstance(lengths, Flow):
        return lengths.surround(x, left=left, extent=extent, stride=stride, dim=dim)
    x = zero_beyond(x, lengths, dim=dim)
    windows = -(-x.shape[dim] // stride)
    right = (windows - 1) * stride + extent - left - x.shape[dim]
    if not left and not right:
        return x
    return F.pad(x, (left, right) if dim == -1 else (0, 0, left, right))


def _other(dim: int) -> int:
    """Of the last two dimensions, that which is not `dim`."""
    assert dim in (-1, -2)
    return -3 - dim


def shorter(lengths: Lengths, stride: int) -> Lengths:
    """The lengths behind a layer that makes one step of `stride`; a Flow has counted already."""
    return -(-lengths // stride) if isinstance(lengths, Tensor) else lengths


def longer(lengths: Lengths, stride: int) -> Lengths:
    """The lengths behind a layer that makes `stride` steps of one; a Flow has counted already."""
    return lengths * stride if isinstance(lengths, Tensor) else lengths
