"""Priors on the command line: tokens, a model of them, speech drawn from it, files coded by it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from shell import done, refused, speak

from vqaudio import Tokens, load
from vqaudio.prior import load_prior

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


def test_training_says_on_what(trained: Path) -> None:
    """The first lines of all that reaches the terminal: no library says anything of its own."""
    call = ("prior", "train", str(trained / "tokens"), str(trained / "run"), *TINY)
    lines = done(*call).err.splitlines()  # finished already, and said again
    assert lines[0].startswith("training: 4 sounds, 0.00 hours, speakers: 2")
    assert lines[1].startswith("held out: 2 sounds, 0.00 hours, speakers: 1")
    assert lines[2].startswith("prior: 0.14 M parameters on c")
    assert lines[2].endswith(", delay of 8 levels, windows of 1.0 s")
    assert [line for line in lines[3:] if not line.startswith("step ")] == []


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["speaker", "text"])
def test_speech_is_drawn_on_a_condition(trained: Path, tmp_path: Path, condition: str) -> None:
    shards, run, out = (str(tmp_path / name) for name in ("shards", "run", "out.npz"))
    recordings = tmp_path / "recordings"
    for sound in sorted(trained.glob("*-*.wav")):
        target = recordings / sound.name[0] / sound.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(sound.read_bytes())
        target.with_suffix(".txt").write_text(f"das ist {sound.stem}, schön", encoding="utf-8")
    done("export", str(recordings), shards, "--format", "jsonl")
    result = done("prior", "train", shards, run, *TINY, "--set", f"prior.condition={condition}")
    assert f"of 8 levels, told the {condition}, windows of" in result.err
    assert done("prior", "score", run, shards).out.startswith(b"5 sounds, ")
    [name, *_] = load_prior(Path(run)).prior.speakers or ["das ist neu, schön"]
    for told in ([f"--{condition}", name], []):
        done("prior", "sample", run, out, "--seconds", "1.5", "--force", *told)
        assert Tokens.load(out).codes.shape == (8, 75)
    coded = str(tmp_path / "in.vqa")
    done("tokenize", str(trained / "in.wav"), "--out", coded, "--coder", run)
    done("detokenize", coded, "--coder", run, "--out", str(tmp_path / "again.wav"))


def test_nobody_waits_for_torch_to_be_told_of_a_slip(tmp_path: Path) -> None:
    code = """
        import sys
        from vqaudio.cli import main
        for arguments in (
            ["--help"],
            ["prior", "--help"],
            ["prior", "sample", "--help"],
            ["prior", "sample", "run"],
            ["prior", "sample", "run", "out.mp3"],
            ["prior", "sample", "run", "."],
            ["prior", "sample", "run", "out.wav", "--top-p", "2"],
            ["prior", "sample", "run", "out.wav", "--temperature", "0"],
            ["prior", "train", "tokens"],
            ["prior", "score", "run", "tokens", "--device", "abacus"],
            ["export", "here", "there", "--format", "mp3"],
            ["text-tokenizer", "."],
            ["text-tokenizer", "out", "--pattern", "delay"],
            ["bpe", "tokens", "."],
        ):
            sys.argv = ["vqaudio", *arguments]
            try:
                main()
            except SystemExit as stop:
                assert bool(stop.code) != ("--help" in arguments), arguments
        print(sorted({"torch", "transformers", "scipy", "pyarrow"} & set(sys.modules)))
    """
    code = "\n".join(line[8:] for line in code.splitlines())
    call = [sys.executable, "-c", code]
    finished = subprocess.run(call, capture_output=True, check=True, cwd=tmp_path)
    assert finished.stdout.decode().splitlines()[-1] == "[]"


def test_a_prior_is_scored_beside_a_table(trained: Path) -> None:
    run, tokens = str(trained / "run"), str(trained / "tokens")
    facts = json.loads(done("prior", "score", run, tokens, "--json").out)
    assert facts["sounds"] == 6
    assert facts["nominal_bitrate"] == 4000
    assert 3500 < facts["bitrate"] < 5000
    assert facts["saved_by_prior"] == pytest.approx(facts["static_bitrate"] - facts["bitrate"])
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
    prompt = ("--prompt", str(trained / "in.wav"), "--seconds", "1")
    assert "the prompt lasts 1.50 s, and 1.00 s are" in refused(
        "prior", "sample", run, out, *prompt
    )
    assert "does not know a speaker 'me'" in refused("prior", "sample", run, out, "--speaker", "me")
    assert "holds no token file" in refused("prior", "score", run, str(tmp_path))
    assert "they differ in prior" in refused("prior", "train", tokens, run, "--set", "steps=4")
    own = str(tmp_path / "own")
    message = refused("prior", "train", tokens, own, "--set", "prior.condition=text")
    assert "prior.condition is text, and no text is known" in message
    assert "prior.levels" in refused("prior", "train", tokens, own, "--set", "prior.levels=0")
    alone = tmp_path / "alone"
    (alone / "s0").mkdir(parents=True)
    Tokens.load(trained / "tokens" / "s0" / "0.npz").save(alone / "s0" / "0.npz")
    assert "nobody to validate on" in refused("prior", "train", str(alone), own)
