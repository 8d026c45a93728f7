"""From nothing to a tokenizer with recipes/librispeech.yaml, against a mirror on this machine."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from mirror import Answer, Mirror, pack, running_mirror
from shell import vqaudio
from sounds import SAMPLE_RATE, babble

from vqaudio import Tokens
from vqaudio.checkpoint import load_model
from vqaudio.corpora import librispeech
from vqaudio.metrics import mel_distance, stoi

RECIPE = Path(__file__).parent.parent / "recipes" / "librispeech.yaml"
SPLITS = ("train-clean-100", "train-clean-360", "train-other-500", "dev-clean")

# The recipe as it is but for its sizes: corpora, losses, stages, discriminators' kinds stay.
SMALLER = (
    "codec.backbone.width=32",
    "codec.backbone.encoder_blocks=1",
    "codec.backbone.decoder_blocks=1",
    "codec.quantizer.num_codebooks=2",
    "codec.quantizer.codebook_size=32",
    "data.batch_size=4",
    "data.crop_seconds=0.5",
    "data.workers=1",
    "stages.0.steps=25",
    "stages.0.optimizer.warmup_steps=3",
    "stages.0.optimizer.learning_rate=3e-3",
    "stages.0.optimizer.weight_ema=0.5",
    "stages.1.steps=3",
    "stages.1.optimizer.warmup_steps=1",
    "stages.1.discriminator_optimizer.lead_steps=1",
    "stages.2.steps=2",
    "stages.2.optimizer.warmup_steps=1",
    "discriminators=[{kind: stft, window_length: 256, channels: 4},"
    " {kind: period, period: 3, channels: [4, 4]}]",
    "log_every=1",
    "validate_every=10",
    "validation_seconds=6",
)


def miniature(split: str) -> dict[str, bytes]:
    """Two speakers with a chapter of two utterances each, in the official layout."""
    files = {}
    for speaker in range(2):
        name = str(100 * (SPLITS.index(split) + 1) + speaker)
        folder = f"LibriSpeech/{split}/{name}/7"
        lines = ""
        for take in range(2):
            sound = io.BytesIO()
            samples = babble(10 * SPLITS.index(split) + speaker, take, seconds=3.0)
            soundfile.write(sound, samples, SAMPLE_RATE, format="FLAC")
            files[f"{folder}/{name}-7-000{take}.flac"] = sound.getvalue()
            lines += f"{name}-7-000{take} BA BA BA\n"
        files[f"{folder}/{name}-7.trans.txt"] = lines.encode()
    return files


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    with running_mirror(monkeypatch) as server:
        for split in SPLITS:
            archive = librispeech.SOURCE.archives[split]
            data = pack(miniature(split), archive.file)
            server.files[f"/{archive.file}"] = data
            checksum = f"md5:{hashlib.md5(data).hexdigest()}"
            tiny = archive._replace(num_bytes=len(data), checksum=checksum)
            monkeypatch.setitem(librispeech.SOURCE.archives, split, tiny)
        monkeypatch.setenv(librispeech.SOURCE.mirror, server.address)
        yield server


@pytest.mark.slow
def test_from_nothing_to_a_tokenizer(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mirror.answers.append(Answer(stop_after=1000))  # a transfer that breaks
    settings = [word for setting in SMALLER for word in ("--set", setting)]
    done = vqaudio("train", RECIPE, "--out", "run", *settings)
    assert done.code == 0, done.err
    assert "to fetch: " in done.err
    assert {request.path for request in mirror.requests} == {
        f"/12/{split}.tar.gz" for split in SPLITS
    }
    assert len(mirror.requests) == len(SPLITS) + 1
    assert (tmp_path / "data/LibriSpeech/dev-clean/400/7/400-7-0000.flac").exists()

    # It learnt, and on the validation speakers it shows.
    lines = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    mel = [line["mel"] for line in lines if line["kind"] == "validation"]
    assert len(mel) == 3
    assert mel[1] < mel[0]
    card = load_model(Path("run/model.safetensors")).card
    assert card["stages"] == ["metric", "adversarial", "decoder"]
    assert card["speakers"] == 6

    # And it tokenizes speakers it never heard, to sound of the same length.
    held_out = tmp_path / "data/LibriSpeech/dev-clean/401/7/401-7-0001.flac"
    done = vqaudio("tokenize", held_out, "--model", "run/model.safetensors", "--out", "t.npz")
    assert done.code == 0, done.err
    assert Tokens.load("t.npz").codes.shape == (2, 150)
    model = ("--model", "run/model.safetensors")
    assert vqaudio("detokenize", "t.npz", "--out", "again.wav", *model).code == 0
    original, decoded = (soundfile.read(name)[0] for name in (held_out, "again.wav"))
    assert len(original) == len(decoded)
    # After 30 steps it is no speech yet, but it can be measured.
    assert 0 < mel_distance(original, decoded, SAMPLE_RATE) < 5
    assert -1 <= stoi(original, decoded, SAMPLE_RATE) <= 1

    # The same command again fetches nothing and trains nothing.
    again = vqaudio("train", RECIPE, "--out", "run", *settings)
    assert again.code == 0
    assert len(mirror.requests) == len(SPLITS) + 1
