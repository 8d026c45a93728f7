"""Batches of random crops.

The batch of a step is a function of the recipe's seed and the step's number alone. A resumed run
therefore sees what an undisturbed one would have seen, whatever the number of workers.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vqaudio import audio
from vqaudio.corpora import Utterance
from vqaudio.errors import AudioError, CorpusError

logger = logging.getLogger(__name__)

MAX_UNREADABLE = 20
"""Unreadable files in a row after which something else must be wrong."""


class CropBatch(NamedTuple):
    """The crops of one step."""

    waveform: Tensor
    """[B, 1, S] float32; speech shorter than a crop ends in zeros."""
    num_samples: Tensor | None
    """[B] int64: samples before the zeros; None where no crop has any."""


class Crops(Dataset["CropBatch | CorpusError"]):
    """Step number -> the crops of that step, or why there are none.

    An error is returned and not raised, because the worker processes of a DataLoader turn what
    they raise into a traceback.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        *,
        sample_rate: int,
        batch_size: int,
        num_samples: int,
        speaker_balance: float,
        gain_db: tuple[float, float],
        seed: int,
    ) -> None:
        by_speaker: dict[str, list[Utterance]] = defaultdict(list)
        for utterance in utterances:
            if utterance.seconds > 0:
                by_speaker[utterance.speaker].append(utterance)
        if not by_speaker:
            raise CorpusError("the corpora of the recipe hold no speech to train on.")
        self.utterances = [by_speaker[speaker] for speaker in sorted(by_speaker)]
        self.lengths = [np.array([u.seconds for u in group]) for group in self.utterances]
        weights = np.array([group.sum() for group in self.lengths]) ** (1 - speaker_balance)
        self.speaker_odds = weights / weights.sum()
        self.sample_rate = sample_rate
        self.batch_size = batch_size
        self.num_samples = num_samples
        self.gain_db = gain_db
        self.seed = seed
        self.unreadable: set[Path] = set()

    def __getitem__(self, step: int) -> CropBatch | CorpusError:
        random = np.random.default_rng((self.seed, step))
        try:
            crops = [self._crop(random) for _ in range(self.batch_size)]
        except CorpusError as error:
            return error
        lengths = torch.tensor([len(crop) for crop in crops])
        full = bool((lengths == self.num_samples).all())
        return CropBatch(_stack(crops, self.num_samples), None if full else lengths)

    def _crop(self, random: np.random.Generator) -> NDArray[np.float32]:
        for _ in range(MAX_UNREADABLE):
            speaker = random.choice(len(self.utterances), p=self.speaker_odds)
            lengths = self.lengths[speaker]
            chosen = random.choice(len(lengths), p=lengths / lengths.sum())
            utterance = self.utterances[speaker][chosen]
            place = random.random()
            try:
                crop = read_crop(utterance, place, self.num_samples, self.sample_rate)
            except AudioError as error:
                if utterance.path not in self.unreadable:
                    logger.warning("left out of training: %s", error)
                self.unreadable.add(utterance.path)
                continue
            gain = 10 ** (random.uniform(*self.gain_db) / 20)
            return crop * np.float32(gain)
        raise CorpusError(
            f"{MAX_UNREADABLE} files in a row could not be read, the last one "
            f"{utterance.path}: check the corpus."
        )


def read_crop(
    utterance: Utterance, place: float, num_samples: int, sample_rate: int
) -> NDArray[np.float32]:
    """[n] at `sample_rate` from `place`, 0 (start) to 1 (end) of what fits; n is `num_samples`, or
    what a shorter file has.

    Seeks: reads the crop and no more, however long the file is. What libsndfile cannot read is
    decoded whole. Raises AudioError.
    """
    samples: NDArray[np.float32]
    try:
        with soundfile.SoundFile(os.fsencode(utterance.path)) as file:
            wanted = -(-num_samples * file.samplerate // sample_rate)
            file.seek(int(place * max(file.frames - wanted, 0)))
            samples = file.read(wanted, dtype="float32", always_2d=True).mean(axis=1)
            rate = file.samplerate
    except (soundfile.LibsndfileError, OSError):
        samples = audio.read(utterance.path, sample_rate=sample_rate).waveform[0]
        start = int(place * max(len(samples) - num_samples, 0))
        return samples[start : start + num_samples]
    if not np.isfinite(samples).all():
        raise AudioError(f"{utterance.path} has samples that are not numbers.")
    if rate != sample_rate:
        samples = audio.resample(samples[None], rate, sample_rate)[0]
    return samples[:num_samples]


def _stack(crops: Sequence[NDArray[np.float32]], num_samples: int) -> Tensor:
    """Crops [n_i] -> [B, 1, num_samples], zeros after the shorter ones."""
    stacked = np.zeros((len(crops), 1, num_samples), dtype=np.float32)
    for row, crop in zip(stacked, crops, strict=True):
        row[0, : len(crop)] = crop
    return torch.from_numpy(stacked)


def batches(crops: Crops, *, first: int, steps: int, workers: int) -> Iterator[CropBatch]:
    """The batches of the steps `first` to `steps` - 1, read ahead by `workers` processes.

    Raises CorpusError when too many files in a row cannot be read.
    """
    loader = DataLoader(
        crops,
        sampler=range(first, steps),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_leave_interrupts_to_the_run,
        # Each loader draws a number; from the global state, a resumed run would see it missing.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, CorpusError):
            raise batch
        yield batch


def _leave_interrupts_to_the_run(worker: int) -> None:
    """Ctrl-C reaches all processes of a terminal, but the run ends when its step is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def validation_crops(
    utterances: Sequence[Utterance], *, seconds: float, num_samples: int, sample_rate: int
) -> Tensor:
    """[N, 1, S]: crops from the middle of utterances spread over all held-out speech.

    Utterances too short for a crop are passed over, unless all are: then the crops end in zeros.
    """
    long_enough = [u for u in utterances if u.seconds * sample_rate >= num_samples]
    candidates = long_enough or utterances
    count = min(max(round(seconds * sample_rate / num_samples), 1), len(candidates))
    crops = []
    for index in range(count):
        utterance = candidates[index * len(candidates) // count]
        try:
            crops.append(read_crop(utterance, 0.5, num_samples, sample_rate))
        except AudioError as error:
            logger.warning("left out of validation: %s", error)
    return _stack(crops, num_samples)
