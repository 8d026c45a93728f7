"""What probes look at: the codes of a recording, and its log-mel frames, the same number a second.

codes    [T, Q] int64, each level's codes numbered on after the level before
log-mel  [T, 80] float32
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqaudio import audio
from vqaudio.corpora import Utterance
from vqaudio.errors import TokensError

NUM_BANDS = 80
MAX_SECONDS = 10.0
"""Of a recording, from its beginning; the rest is not looked at."""
MEL_FLOOR = 1e-5
"""Mel power under which two frames count as equally silent."""


class Coded(Protocol):
    """What an encoder makes of a waveform. `vqaudio.Tokens` is one."""

    @property
    def codes(self) -> NDArray[Any]:
        """[Q, T], integers from 0."""
        ...

    @property
    def hop_length(self) -> int:
        """Samples per frame, at the encoder's sample rate."""
        ...

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Codes per level."""
        ...


class Encoder(Protocol):
    """Anything that turns waveforms into codes. `vqaudio.Tokenizer` is one."""

    @property
    def sample_rate(self) -> int:
        """Hz, of the waveforms that it takes."""
        ...

    def encode(self, samples: NDArray[np.float32], /) -> Coded:
        """[S] -> its codes."""
        ...


class Frames(NamedTuple):
    """The recordings of a task, each as a probe may see it."""

    codes: list[Tensor]
    """[T, Q] each."""
    mel: list[Tensor]
    """[T, 80] each."""
    num_codes: int
    """Of all levels together."""
    num_levels: int
    frame_rate: float
    """Frames per second."""


def read_frames(
    encoder: Encoder, utterances: Sequence[Utterance], *, levels: int | None = None
) -> Frames:
    """Each utterance by its codes, of the first `levels` levels (all when None), and as log-mel.

    Raises AudioError, and TokensError for levels that there are not.
    """
    rate = encoder.sample_rate
    codes, mel = [], []
    for utterance in utterances:
        seconds = min(utterance.seconds, MAX_SECONDS)
        first, count = round(utterance.start * rate), max(math.ceil(seconds * rate), 1)
        waveform = audio.read_part(utterance.path, first, count, sample_rate=rate).waveform[0]
        coded = encoder.encode(waveform)
        sizes = coded.codebook_sizes[:levels]
        if levels is not None and not len(sizes) == levels > 0:
            available = len(coded.codebook_sizes)
            raise TokensError(f"{levels} levels asked for, the model has 1 to {available}")
        starts = np.cumsum([0, *sizes[:-1]])
        rows = np.asarray(coded.codes)[: len(sizes)].astype(np.int64) + starts[:, None]
        codes.append(torch.from_numpy(rows.T.copy()))
        mel.append(torch.from_numpy(log_mel(waveform, rate, coded.hop_length)))
    return Frames(codes, mel, sum(sizes), len(sizes), rate / coded.hop_length)


def log_mel(
    waveform: NDArray[np.float32], sample_rate: int, hop_length: int
) -> NDArray[np.float32]:
    """[S] -> [T, 80]: ln of the mel power, T = ceil(S / hop_length).

    The windows are two hops long, each around the middle of its frame.
    """
    import librosa  # takes a second to import

    window = 2 * hop_length
    length = 2 ** math.ceil(math.log2(max(window, 64e-3 * sample_rate)))
    num_frames = -(-len(waveform) // hop_length)
    before = (length - hop_length) // 2
    after = num_frames * hop_length - len(waveform) + length - hop_length - before
    mel = librosa.feature.melspectrogram(
        y=np.pad(waveform, (before, after)),  # here: librosa warns of sounds below its window
        sr=sample_rate,
        n_fft=length,
        win_length=window,
        hop_length=hop_length,
        n_mels=NUM_BANDS,
        center=False,
    )
    frames: NDArray[np.float32] = np.log(np.maximum(mel, MEL_FLOOR)).T.astype(np.float32)
    return frames


def normalise(mel: Sequence[Tensor], train: Sequence[int]) -> list[Tensor]:
    """[T, 80] each, so that every band has mean 0 and deviation 1 over the recordings `train`."""
    heard = torch.cat([mel[place] for place in train])
    mean, deviation = heard.mean(dim=0), heard.std(dim=0).clamp_min(1e-3)
    return [(frames - mean) / deviation for frames in mel]
