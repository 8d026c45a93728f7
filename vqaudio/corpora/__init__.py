"""Corpora by the names that recipes use.

A new one is a module with what `Corpus` asks for, a line here, and its name in CorpusConfig. Where
it comes as official archives, it is a `Source`, which is data, and a function that lists it.
"""

from __future__ import annotations

from vqaudio.corpora import (
    asterisk_prompts,
    audiomnist,
    common_voice,
    debian_speech,
    folder,
    fsdd,
    huggingface,
    librispeech,
    libritts,
    libritts_r,
    ljspeech,
    manifest,
    picovoice,
    speechocean762,
    vctk,
)
from vqaudio.corpora.utterance import About, Corpus, Utterance

__all__ = ["CORPORA", "About", "Corpus", "Utterance"]

CORPORA: dict[str, Corpus] = {
    "debian-speech": debian_speech,
    "asterisk-prompts": asterisk_prompts,
    "librispeech": librispeech,
    "libritts": libritts,
    "libritts-r": libritts_r,
    "ljspeech": ljspeech,
    "vctk": vctk,
    "common-voice": common_voice,
    "speechocean762": speechocean762,
    "fsdd": fsdd,
    "audiomnist": audiomnist,
    "picovoice": picovoice,
    "folder": folder,
    "manifest": manifest,
    "huggingface": huggingface,
}
