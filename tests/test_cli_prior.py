"""Priors on the command line: tokens, a model of them, speech drawn from it, files coded by it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from shell import done, refused, speak

from vqaudio import Tokens, load

TINY = [
    *("--set", "prior={width: 16, heads: 1, layers: 1, context_frames: 50}"),
    *("--set", "steps=4", "--set", "batch_size=2", "--set", "validate_every=2"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with in.wav, tokens/<speaker>/<n>.npz, and run/ that was trained on them."""
    folder = tmp_path_factory.mktemp("prior")
    tokenizer = load()
    for speaker in range(3):
        for take in range(2):
            name = f"{speaker}-{take}.wav"
            speak(folder / name, speaker=3 * speaker + take, seconds=1.5 + take)
            (folder / "tokens" / f"s{speaker}").mkdir(parents=True, exist_ok=True)
            target = folder / "tokens" / f"s{speaker}" / f"{take}.npz"
            tokenizer.encode_file(folder / name).save(target)
    (folder / "0-0.wav").rename(folder / "in.wav")
    tokens, run = str(folder / "tokens"), str(folder / "run")
    done("prior", "train", tokens, run, *TINY)
    return folder


def test_a_prior_is_scored_beside_a_table(trained: Path) -> None:
    run, tokens = str(trained / "run"), str(trained / "tokens")
    facts = json.loads(done("prior", "score", run, tokens, "--json").out)
    assert facts["sounds"] == 6
    assert facts["nominal_bitrate"] == 4000
    assert 3500 < facts["bitrate"] < 5000
    assert facts["saved_by_prior"] == pytest.approx(
        facts["static_bitrate"] - facts["bitrate"], rel=0.2
    )
    assert 0 < facts["zeroth_order_bitrate"] < 4000
    text = done("prior", "score", run, tokens, "--held-out").out.decode()
    assert text.startswith("2 sounds, ")
    assert "of 1024\n" in text


@pytest.mark.parametrize("name", ["out.wav", "out.npz"])
def test_speech_is_drawn(trained: Path, tmp_path: Path, name: str) -> None:
    run, out = str(trained / "run"), str(tmp_path / name)
    line = done("prior", "sample", run, out, "--seconds", "0.5").out.decode()
    assert line == f"{run} -> {out}: 0.50 s\n"
    if name.endswith("wav"):
        assert soundfile.info(out).frames == 8000
    else:
        assert Tokens.load(out).codes.shape == (8, 25)


def test_a_recording_is_gone_on_with(trained: Path, tmp_path: Path) -> None:
    run, prompt, out = str(trained / "run"), str(trained / "in.wav"), str(tmp_path / "out.npz")
    options = ("--prompt", prompt, "--prompt-seconds", "1", "--temperature", "0.8")
    line = done("prior", "sample", run, out, "--seconds", "2", *options).out.decode()
    assert line.endswith(": 2.00 s, 1.00 s of it the prompt\n")
    expected = load().encode_file(prompt).codes[:, :50]
    np.testing.assert_array_equal(Tokens.load(out).codes[:, :50], expected)
    again = str(tmp_path / "again.npz")
    done("prior", "sample", run, again, "--seconds", "3", "--prompt", out)
    np.testing.assert_array_equal(Tokens.load(again).codes[:, :100], Tokens.load(out).codes)


def test_files_are_coded_by_a_prior(trained: Path, tmp_path: Path) -> None:
    run, sound, out = str(trained / "run"), str(trained / "in.wav"), str(tmp_path / "in.vqa")
    done("tokenize", sound, "--out", out, "--coder", run)
    decoded = str(tmp_path / "a.wav")
    done("detokenize", out, "--coder", run, "--out", decoded)
    assert soundfile.info(decoded).frames == soundfile.info(sound).frames
    message = refused("detokenize", out, "--out", str(tmp_path / "b.wav"))
    assert "--coder FILE" in message
    assert "coder" in done("describe", out).out.decode()


def test_what_does_not_fit_is_said(trained: Path, tmp_path: Path) -> None:
    run, tokens = str(trained / "run"), str(trained / "tokens")
    out = str(tmp_path / "x.wav")
    assert "no prior at" in refused("prior", "sample", str(tmp_path), out)
    assert "top-p must be above 0" in refused("prior", "sample", run, out, "--top-p", "2")
    assert "does not know a speaker 'me'" in refused("prior", "sample", run, out, "--speaker", "me")
    assert "holds no token file" in refused("prior", "score", run, str(tmp_path))
    assert "they differ in prior" in refused("prior", "train", tokens, run, "--set", "steps=4")
    own = str(tmp_path / "own")
    assert "prior.levels" in refused("prior", "train", tokens, own, "--set", "prior.levels=0")
    alone = tmp_path / "alone"
    (alone / "s0").mkdir(parents=True)
    Tokens.load(trained / "tokens" / "s0" / "0.npz").save(alone / "s0" / "0.npz")
    assert "nobody to validate on" in refused("prior", "train", str(alone), own)
