"""Batches of random crops.

Each crop is a function of the recipe's seed, the step's number and the crop's number in the step.
A resumed run therefore hears what an undisturbed one would have heard, and several processes
together hear what one would, whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vqaudio import audio
from vqaudio.corpora import Utterance
from vqaudio.data.augment import Augmentation
from vqaudio.data.faults import Fault, Faults, UnreadableError
from vqaudio.data.sampling import CorpusShare, Sampler
from vqaudio.errors import AudioError

MAX_UNREADABLE = 20
"""Unreadable files in a row after which something else must be wrong."""


class CropBatch(NamedTuple):
    """The crops of one step."""

    waveform: Tensor
    """[B, 1, S] float32; speech shorter than a crop ends in zeros."""
    num_samples: Tensor | None
    """[B] int64: samples before the zeros; None where no crop has any."""
    faults: tuple[Fault, ...] = ()
    """Files met for the first time that could not be read; others stand in for them."""


class Crops(Dataset["CropBatch | UnreadableError"]):
    """Step number -> the crops `items` of that step, or why there are none.

    `items` are numbers in the joint batch of all processes: range(batch_size) for one process,
    each its part of that range for several.

    An error is returned and not raised, because the worker processes of a DataLoader turn what
    they raise into a traceback.
    """

    def __init__(
        self,
        corpora: Sequence[CorpusShare],
        *,
        sample_rate: int,
        num_samples: int,
        items: range,
        speaker_balance: float,
        augment: Augmentation,
        seed: int,
    ) -> None:
        self.sampler = Sampler(corpora, speaker_balance=speaker_balance)
        self.sample_rate = sample_rate
        self.num_samples = num_samples
        self.items = items
        self.augment = augment
        self.seed = seed
        self.faults = Faults()

    def __getitem__(self, step: int) -> CropBatch | UnreadableError:
        try:
            crops = [self._crop(np.random.default_rng((self.seed, step, i))) for i in self.items]
        except UnreadableError as error:
            error.faults = self.faults.take()
            return error
        return stack(crops, self.num_samples)._replace(faults=self.faults.take())

    def _crop(self, random: np.random.Generator) -> NDArray[np.float32]:
        for _ in range(MAX_UNREADABLE):
            utterance = self.sampler.draw(random)
            place = random.random()
            if utterance.path in self.faults:
                continue
            try:
                crop = read_crop(utterance, place, self.num_samples, self.sample_rate)
            except AudioError as error:
                self.faults.note(utterance.path, error)
                continue
            return self.augment(crop, random, self.faults)
        raise UnreadableError(
            f"{MAX_UNREADABLE} files in a row could not be read, the last one "
            f"{utterance.path}: check the corpus."
        )


def read_crop(
    utterance: Utterance, place: float, num_samples: int, sample_rate: int
) -> NDArray[np.float32]:
    """[n] at `sample_rate` from `place`, 0 (start) to 1 (end) of what fits; n is `num_samples`, or
    what a shorter utterance has.

    Reads the crop and no more, however long the file is (see `audio.read_part`). Raises AudioError.
    """
    first = round(utterance.start * sample_rate)
    length = max(round(utterance.seconds * sample_rate), 1)
    start = first + int(place * max(length - num_samples, 0))
    part = audio.read_part(utterance.path, start, min(num_samples, length), sample_rate=sample_rate)
    crop: NDArray[np.float32] = part.waveform[0]
    return crop


def stack(crops: Sequence[NDArray[np.float32]], num_samples: int) -> CropBatch:
    """Crops [n_i] -> waveform [B, 1, num_samples], zeros after the shorter ones."""
    stacked = np.zeros((len(crops), 1, num_samples), dtype=np.float32)
    for row, crop in zip(stacked, crops, strict=True):
        row[0, : len(crop)] = crop
    lengths = torch.tensor([len(crop) for crop in crops], dtype=torch.int64)
    full = bool((lengths == num_samples).all())
    return CropBatch(torch.from_numpy(stacked), None if full else lengths)
