"""Corpora by the names that recipes use."""

from __future__ import annotations

from vqaudio.corpora import debian_speech, folder, librispeech
from vqaudio.corpora.utterance import Corpus, Utterance

__all__ = ["CORPORA", "Corpus", "Utterance"]

CORPORA: dict[str, Corpus] = {
    "debian-speech": debian_speech,
    "librispeech": librispeech,
    "folder": folder,
}
