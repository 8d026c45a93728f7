"""What a speech recogniser still understands: word error rates."""

from __future__ import annotations

import re
import warnings
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import ModelError, VqaudioError
from vqaudio.metrics.libraries import load_library
from vqaudio.metrics.waveforms import Waveform, as_mono, at_rate

RECOGNIZER_RATE = 16_000
"""Hz, of all recognisers here."""


class WordErrors(NamedTuple):
    """Of one recording. The word error rate of many is the ratio of the sums."""

    errors: int
    """Words substituted, left out and put in."""
    words: int
    """Of the reference text."""


class Recognizer(Protocol):
    """Writes down what is said."""

    @property
    def name(self) -> str:
        """As `find_recognizer` knows it."""
        ...

    def transcribe(self, waveform: Waveform, sample_rate: int) -> str:
        """[S] -> text, "" where nothing is understood. Raises AudioError."""
        ...


def word_errors(reference_text: str, hypothesis: str) -> WordErrors:
    """Word errors: a count, 0 and up, lower is better; by jiwer, after `normalize`.

    Raises VqaudioError when jiwer is not installed.
    """
    jiwer = load_library("jiwer", "Word errors", "jiwer")
    reference, heard = normalize(reference_text), normalize(hypothesis)
    if not reference:
        return WordErrors(len(heard.split()), 0)
    found = jiwer.process_words(reference, heard)
    return WordErrors(
        found.substitutions + found.deletions + found.insertions, len(reference.split())
    )


def normalize(text: str) -> str:
    """Lower case words of letters, digits and apostrophes, one space apart.

    No numbers are spelt out and no spellings unified: references and recognisers that write
    "twenty" and "20" count as different.

    >>> normalize("Mr. Quilter's  WELL-known -- manner!")
    "mr quilter's well known manner"
    """
    plain = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return " ".join(re.findall(r"\w+(?:'\w+)*", plain))


def find_recognizer(spec: str) -> Recognizer:
    """A recogniser by name, loaded when it is first used:

    pocketsphinx                    brings its model (US English), and errs on 33 to 42 % of the
                                    words of clean recordings: too weak to rank codecs
    faster-whisper:NAME_OR_FOLDER   Whisper by CTranslate2
    hf:NAME_OR_FOLDER               an automatic-speech-recognition pipeline of transformers

    The same text comes out every time, at the highest score without sampling, on the CPU. Names
    are fetched from the Hugging Face Hub; a folder needs no network.

    Raises VqaudioError for other names.
    """
    kind, _, model = spec.partition(":")
    match kind:
        case "pocketsphinx" if not model:
            return PocketSphinx(spec)
        case "faster-whisper" if model:
            return FasterWhisper(spec, model)
        case "hf" if model:
            return TransformersPipeline(spec, model)
    raise VqaudioError(
        f"there is no recogniser {spec!r}: choose pocketsphinx, faster-whisper:NAME_OR_FOLDER or "
        "hf:NAME_OR_FOLDER."
    )


class PocketSphinx(NamedTuple):
    """Hidden Markov models with the acoustic and language model of the package."""

    name: str

    def transcribe(self, waveform: Waveform, sample_rate: int) -> str:
        library = load_library("pocketsphinx", "The recogniser", "pocketsphinx")
        samples = np.clip(_samples(waveform, sample_rate), -1, 1)
        # A decoder keeps what it learns of the channel; a new one hears every file alike.
        decoder = library.Decoder(samprate=RECOGNIZER_RATE, loglevel="FATAL")
        decoder.start_utt()
        decoder.process_raw((samples * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        best = decoder.hyp()
        return "" if best is None else str(best.hypstr)


class FasterWhisper(NamedTuple):
    """Whisper, beam search of 5, no fallback to sampling."""

    name: str
    model: str

    def transcribe(self, waveform: Waveform, sample_rate: int) -> str:
        segments, _ = _faster_whisper(self.model).transcribe(
            _samples(waveform, sample_rate),
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
        )
        return " ".join(segment.text.strip() for segment in segments)


class TransformersPipeline(NamedTuple):
    """Whatever transformers has for speech: Whisper, wav2vec 2.0 with CTC, ..."""

    name: str
    model: str

    def transcribe(self, waveform: Waveform, sample_rate: int) -> str:
        sound = {"raw": _samples(waveform, sample_rate), "sampling_rate": RECOGNIZER_RATE}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what its next version will call its options
            return str(_pipeline(self.model)(sound)["text"]).strip()


def _samples(waveform: Waveform, sample_rate: int) -> NDArray[np.float32]:
    return at_rate(as_mono(waveform), sample_rate, RECOGNIZER_RATE).astype(np.float32)


@cache
def _faster_whisper(model: str) -> Any:
    library = load_library("faster_whisper", "The recogniser", "faster-whisper", extra="asr")
    try:
        return library.WhisperModel(model, device="cpu", compute_type="float32")
    except Exception as error:  # of the hub, of files, of CTranslate2
        raise ModelError(f"cannot load the recogniser {model}: {error}") from error


@cache
def _pipeline(model: str) -> Any:
    library = load_library("transformers", "The recogniser", "transformers", extra="asr")
    try:
        return library.pipeline("automatic-speech-recognition", model=model, device="cpu")
    except Exception as error:  # of the hub, of files, of the model's class
        raise ModelError(f"cannot load the recogniser {model}: {error}") from error
