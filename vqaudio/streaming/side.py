"""The sides of a codec that frames pass, and several lines advanced in one batch.

A frame enters with the samples (or codes) that are new, and meets what the layers remember of the
frames before; nothing is computed twice. Layers that look ahead delay what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqaudio.codec import Codec
from vqaudio.layers import Flow
from vqaudio.line import FRAMES_AT_ONCE, Line


class Side(NamedTuple):
    """The encoder or the decoder of a codec, as lines use it."""

    run: Callable[[Tensor, Flow], Tensor]
    """[B, C, n * steps_in], Flow -> [B, C', n * steps_out]."""
    device: torch.device
    steps_in: int
    """Steps that a frame takes: samples, or one column of codes."""
    steps_out: int
    """Steps that a frame gives."""
    lead: int
    """Steps that are taken before the first frame, less than one frame of them."""
    delay: int
    """Steps that come out before the first one of the stream; to be dropped."""
    blank: list[Tensor]
    """The states of a stream that begins, each [C, m]."""
    nothing: NDArray[Any]
    """[C', 0]."""


def encoder_side(codec: Codec, num_codebooks: int) -> Side:
    """Of waveforms [B, 1, S] and codes [B, num_codebooks, T]; of a codec that stays as it is."""
    run = codec.frozen_encode(num_codebooks)
    hop = codec.hop_length
    lookahead = codec.receptive_field.last - (hop - 1)
    return _side(run, torch.zeros(1, 1, hop, device=_device(codec)), hop, 1, lookahead % hop)


def decoder_side(codec: Codec, num_codebooks: int) -> Side:
    """Of codes [B, num_codebooks, T] and waveforms [B, 1, S]."""
    codes = torch.zeros(1, num_codebooks, 1, dtype=torch.int64, device=_device(codec))
    return _side(codec.decode, codes, 1, codec.hop_length, 0)


def _side(
    run: Callable[[Tensor, Flow], Tensor], frame: Tensor, steps_in: int, steps_out: int, lead: int
) -> Side:
    flow = Flow(lag=-lead)
    output = run(frame, flow)
    blank = [torch.zeros_like(state[0]) for state in flow.left_behind]
    nothing = output[0, :, :0].cpu().numpy()
    return Side(run, frame.device, steps_in, steps_out, lead, flow.lag, blank, nothing)


def _device(codec: Codec) -> torch.device:
    return next(codec.parameters()).device


@torch.inference_mode()
def advance(lines: Sequence[Line[Side]]) -> list[NDArray[Any]]:
    """Compute all whole frames that wait, those of several lines together.

    All lines are of one `Side`. Returns for each [C', n], what has come out.
    """
    outputs: list[list[NDArray[Any]]] = [[line.side.nothing] for line in lines]
    while moving := [place for place, line in enumerate(lines) if line.num_waiting]:
        frames = min(FRAMES_AT_ONCE, *(lines[place].num_waiting for place in moving))
        for place, part in zip(moving, _step([lines[p] for p in moving], frames), strict=True):
            outputs[place].append(part)
    return [np.concatenate(parts, axis=1) for parts in outputs]


def _step(lines: list[Line[Side]], frames: int) -> list[NDArray[Any]]:
    side = lines[0].side
    places = {}
    if any(line.at_an_edge for line in lines):
        places = {
            "start": torch.tensor([line.position for line in lines], device=side.device),
            "stop": torch.tensor([line.length for line in lines], device=side.device),
        }
    states = [torch.stack(one) for one in zip(*(line.states for line in lines), strict=True)]
    flow = Flow(states, lag=-side.lead, **places)
    entering = torch.from_numpy(np.stack([line.first(frames) for line in lines]))
    outputs = side.run(entering.to(side.device), flow).cpu().numpy()
    # Of its own, not a view of the batch, which would be kept for it.
    left = [[state[place].clone() for state in flow.left_behind] for place in range(len(lines))]
    return [line.give(*one) for line, *one in zip(lines, outputs, left, strict=True)]
