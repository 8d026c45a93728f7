"""How a probe learns: a fixed number of passes with a fixed seed, and the last weights count.

Nothing is chosen by looking at what is tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from vqaudio.probes.heads import HEADS, CodesInput, MelInput, Probe

EPOCHS = 10
MIN_STEPS = 300
"""Of few recordings there are more passes, to get here."""
BATCH_SIZE = 64
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 0.01
CROP_SECONDS = 2.0
"""Of a longer recording a pass learns from a part of this length, each time another."""


def learn(
    frames: Sequence[Tensor],
    labels: Sequence[int],
    *,
    head: str,
    num_classes: int,
    num_codes: int | None,
    crop: int,
    seed: int,
) -> Probe:
    """A probe of recordings [T, F] each, trained to give their labels.

    `head` is one of HEADS, `num_codes` None for log-mel frames, `crop` in frames.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embed = MelInput(frames[0].shape[1]) if num_codes is None else CodesInput(num_codes)
        probe = Probe(embed, HEADS[head](num_classes)).train()
        # Fused: on CPU the update of all codes' vectors takes longest, and a third of it this way.
        optimizer = torch.optim.AdamW(
            probe.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        batches = -(-len(frames) // BATCH_SIZE)
        epochs = max(EPOCHS, -(-MIN_STEPS // batches))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, LEARNING_RATE, total_steps=epochs * batches, pct_start=0.1
        )
        targets = torch.tensor(labels)
        for batch in chain.from_iterable(_shuffle(frames) for _ in range(epochs)):
            logits = probe(*_pad([_crop(frames[place], crop) for place in batch]))
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(logits, targets[batch])
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return probe.eval()


@torch.inference_mode()
def answer(probe: Probe, frames: Sequence[Tensor]) -> list[int]:
    """The class of each recording [T, F], heard whole."""
    order = sorted(range(len(frames)), key=lambda place: len(frames[place]))
    answers = [0] * len(frames)
    for start in range(0, len(order), BATCH_SIZE):
        places = order[start : start + BATCH_SIZE]
        found = probe(*_pad([frames[place] for place in places])).argmax(dim=1)
        for place, label in zip(places, found.tolist(), strict=True):
            answers[place] = label
    return answers


def _shuffle(frames: Sequence[Tensor]) -> Iterator[list[int]]:
    """Batches in a new order; recordings of like length share one, so that little is padding."""
    order = torch.randperm(len(frames)).tolist()
    pool = 8 * BATCH_SIZE
    batches = []
    for start in range(0, len(order), pool):
        near = sorted(order[start : start + pool], key=lambda place: len(frames[place]))
        batches += [near[at : at + BATCH_SIZE] for at in range(0, len(near), BATCH_SIZE)]
    for index in torch.randperm(len(batches)).tolist():
        yield batches[index]


def _crop(frames: Tensor, length: int) -> Tensor:
    """[T, F] -> [min(T, length), F], from a place drawn at random."""
    start = int(torch.randint(max(len(frames) - length, 0) + 1, ()))
    return frames[start : start + length]


def _pad(frames: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """[T_i, F] each -> [B, max T, F], padded with zeros, and [B, max T, 1], 0 where it is."""
    padded = nn.utils.rnn.pad_sequence(list(frames), batch_first=True)
    lengths = torch.tensor([len(item) for item in frames])
    mask = torch.arange(padded.shape[1]) < lengths[:, None]
    return padded, mask[:, :, None].float()
