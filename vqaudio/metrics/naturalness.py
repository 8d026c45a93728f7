"""Opinions that networks have of a waveform alone: no reference, so that other words go unheard."""

from __future__ import annotations

import contextlib
import io
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vqaudio.metrics.libraries import load_library
from vqaudio.metrics.waveforms import Waveform, as_mono, at_rate

MODEL_RATE = 16_000
"""Hz, of both networks."""
LEAST_SECONDS = 0.1
"""Both repeat or pad what is shorter than their window of 9 and 7.7 s; less than this is nothing
that one could have an opinion of."""


def dnsmos(waveform: Waveform, sample_rate: int) -> float:
    """DNSMOS P.835, overall: predicted MOS, 1 to 5, higher is better; needs no reference.

    Reddy et al. 2022, arXiv:2110.01763, by the library speechmos, at 16 kHz. Trained on noise
    suppressors, not on codecs: clean recordings have about 3 to 4. Depends on the level. nan for
    silence and below 0.1 s.

    Raises VqaudioError when speechmos is not installed, AudioError.
    """
    model = _dnsmos()
    waveform = as_mono(waveform)
    if not _is_heard(waveform, sample_rate):
        return math.nan
    # Cut off at full scale, as a 16-bit file would hold it: the library takes no more.
    waveform = np.clip(at_rate(waveform, sample_rate, MODEL_RATE), -1, 1)
    return float(model(waveform, MODEL_RATE, False)["ovrl_mos"])


def distillmos(waveform: Waveform, sample_rate: int) -> float:
    """DistillMOS: predicted MOS, 1 to 5, higher is better; needs no reference.

    Stahl and Gamper 2025, arXiv:2502.05356, by the library distillmos, at 16 kHz, on the CPU. It
    learned from codecs, noise and packet loss, and does not depend on the level. nan for silence
    and below 0.1 s.

    Raises VqaudioError when distillmos is not installed, AudioError.
    """
    import torch

    model = _distillmos()
    waveform = as_mono(waveform)
    if not _is_heard(waveform, sample_rate):
        return math.nan
    samples = at_rate(waveform, sample_rate, MODEL_RATE).astype(np.float32)
    with torch.inference_mode():
        return float(model(torch.from_numpy(samples)[None]))


def _is_heard(waveform: Waveform, sample_rate: int) -> bool:
    return len(waveform) >= LEAST_SECONDS * sample_rate and bool(waveform.any())


@cache
def _dnsmos() -> Any:
    library = load_library("speechmos.dnsmos", "DNSMOS", "speechmos")
    folder = Path(library.__file__).parent / "dnsmos_models"
    overall, other = str(folder / "sig_bak_ovr.onnx"), str(folder / "model_v8.onnx")
    model = library.DNSMOS(overall, other)
    # The library takes every core, and they spin; files in many processes do better with one.
    options = library.ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model.onnx_sess = library.ort.InferenceSession(overall, options)
    model.p808_onnx_sess = library.ort.InferenceSession(other, options)
    return model


@cache
def _distillmos() -> Any:
    library = load_library("distillmos", "DistillMOS", "distillmos")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights come from
        return library.ConvTransformerSQAModel().eval()
