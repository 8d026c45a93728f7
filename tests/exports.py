"""A small model, a corpus with all that corpora hold, and exports of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from vqaudio.checkpoint import save_model
from vqaudio.codec import Codec, CodecConfig, FramesConfig, QuantizerConfig

SAMPLE_RATE = 1600
SHARD_HOURS = 3 / 3600
"""Three seconds: the corpus is four shards."""
UNREADABLE = ["bruno/damaged.flac", "bruno/noise.wav"]


def make_model(folder: Path) -> Path:
    """Three levels of 16 codes at 50 frames/s, random but for codes that are all in use."""
    torch.manual_seed(1)
    config = CodecConfig(
        sample_rate=SAMPLE_RATE,
        causal=False,
        backbone=FramesConfig(
            hop_length=32, window_length=128, width=16, encoder_blocks=1, decoder_blocks=1
        ),
        quantizer=QuantizerConfig(num_codebooks=3, codebook_size=16, dim=8),
    )
    codec = Codec(config)
    residual = codec.encoder(0.1 * torch.randn(4, 1, 4000)).transpose(1, 2).reshape(-1, 8).detach()
    for book in codec.quantizer.books:
        centroids = residual[torch.randperm(len(residual))[:16]]
        book.place(centroids)
        residual = residual - centroids[torch.cdist(residual, centroids).argmin(dim=1)]
    path = folder / "model.safetensors"
    save_model(path, codec, {})
    return path


def sound(seconds: float, seed: int, *, rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """[S] noise whose level moves."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    level = 0.2 * (1.1 + np.sin(10 * time))
    return (level * random.standard_normal(len(time))).clip(-1, 1).astype(np.float32)


def make_corpus(root: Path) -> Path:
    """Ten recordings of three speakers, of other rates, lengths and channels; two are no good."""
    for speaker in ("anna", "bruno", "çelik"):
        (root / speaker).mkdir(parents=True)
    for number, seconds in enumerate((1.0, 0.3, 2.0, 0.001)):
        soundfile.write(root / "anna" / f"{number}.wav", sound(seconds, number), SAMPLE_RATE)
    soundfile.write(root / "bruno" / "a.b.wav", sound(1.1, 5, rate=4410), 4410)
    stereo = np.stack([sound(0.9, 6, rate=8000), sound(0.9, 7, rate=8000)], axis=1)
    soundfile.write(root / "bruno" / "stereo.flac", stereo, 8000)
    for number, seconds in enumerate((1.5, 1.2, 1.7)):
        soundfile.write(root / "çelik" / f"{number}.wav", sound(seconds, 8 + number), SAMPLE_RATE)
    soundfile.write(root / "alone.wav", sound(0.5, 12), SAMPLE_RATE)
    (root / "anna" / "0.txt").write_text("grüß dich\n", encoding="utf-8")
    (root / "bruno" / "noise.wav").write_bytes(b"RIFF and nothing else")
    damaged = root / "bruno" / "damaged.flac"
    soundfile.write(damaged, sound(3.0, 13, rate=16_000), 16_000)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    damaged.write_bytes(content)
    return root


def whole(folder: Path) -> dict[str, bytes]:
    """All files of an export by name; the lock is none of it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
