"""Whatever is wrong: one sentence, exit code 1, no traceback, and no file that was not there."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from shell import PROGRAM, done, listing, refused, speak

from vqaudio import load
from vqaudio.checkpoint import BUNDLED, DEFAULT_MODEL, save_model
from vqaudio.codec import Codec, CodecConfig, FramesConfig, QuantizerConfig


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a test works in: good.wav, good.npz, and what `spoil` adds."""
    monkeypatch.chdir(tmp_path)
    speak(tmp_path / "good.wav")
    done("tokenize", "good.wav")
    return tmp_path


# Sounds

BAD_SOUNDS = {
    "missing.wav": "missing.wav does not exist; check the name",
    "x" * 300 + ".wav": "File name too long",
    "empty.wav": "empty.wav is empty (0 bytes)",
    "text.wav": "text.wav is not audio",
    "noise.wav": "noise.wav is not audio",
    "header.wav": "header.wav is not audio",
    "truncated.flac": "truncated.flac is damaged after 1",
    "truncated.wav": "truncated.wav is truncated: its header promises",
    "zero-length.wav": "zero-length.wav holds no samples",
    "nan.wav": "nan.wav holds a sample that is NaN or infinite at 0.0500 s",
    "infinite.wav": "infinite.wav holds a sample that is NaN or infinite at 0.0500 s",
    "integers.wav": "looks like integers stored as floats",
    "picture.json": "picture.json is not audio",
}


def spoil(folder: Path) -> None:
    good = (folder / "good.wav").read_bytes()
    speak(folder / "truncated.flac", seconds=3)
    flac = (folder / "truncated.flac").read_bytes()
    contents = {
        "empty.wav": b"",
        "text.wav": b"This is the text of the recording.\n" * 100,
        "noise.wav": np.random.default_rng(0).bytes(5000),
        "header.wav": good[:30],
        "truncated.flac": flac[: len(flac) // 2],
        "truncated.wav": good[: len(good) // 2],
        "picture.json": b"{}",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sounds = {"nan": np.nan, "infinite": np.inf, "integers": 12000.0}
    for name, value in sounds.items():
        samples = np.zeros(1600, np.float32)
        samples[800] = value
        soundfile.write(folder / f"{name}.wav", samples, 16000, subtype="FLOAT")
    soundfile.write(folder / "zero-length.wav", np.zeros(0), 16000)


@pytest.mark.parametrize(("name", "words"), BAD_SOUNDS.items(), ids=lambda text: text[:20])
def test_a_bad_sound(name: str, words: str, here: Path) -> None:
    spoil(here)
    before = listing(here)
    assert words in refused("tokenize", name)
    assert words in refused("tokenize", name, "--out", "new/folder/t.json")
    assert words in refused("reconstruct", name, "new/out.wav")
    after = {item for item in listing(here) if item not in before}
    assert after <= {"new", "new/folder"}  # a folder for results may stay, empty


@pytest.mark.parametrize(
    ("sound", "words"),
    [(b"", "is empty (0 bytes)"), (b"text", "is not audio")],
    ids=["empty", "text"],
)
def test_bad_standard_input(sound: bytes, words: str, here: Path) -> None:
    before = listing(here)
    assert words in refused("tokenize", "-", stdin=sound)
    assert "standard input is no token file" in refused("detokenize", "-", stdin=sound)
    assert listing(here) == before


def test_folders_without_what_is_looked_for(here: Path) -> None:
    (here / "nothing" / "deeper").mkdir(parents=True)
    (here / "nothing" / "notes.txt").write_text("nothing")
    before = listing(here)
    assert "nothing holds no audio file" in refused("tokenize", "nothing")
    assert "nothing holds no audio file" in refused("tokenize", "nothing", "--out", "tokens")
    assert "nothing holds no token file (.npz or .json or .vqa or .vqs)" in refused(
        "detokenize", "nothing"
    )
    assert "out.wav is one file, but several" in refused("reconstruct", "nothing", "out.wav")
    assert "nothing holds no audio file" in refused("reconstruct", "nothing", "out")
    assert listing(here) == before


# Tokens


def test_every_damaged_token_file(here: Path) -> None:
    good = (here / "good.npz").read_bytes()
    done("tokenize", "good.wav", "--format", "json")
    as_json = (here / "good.json").read_bytes()
    bad = {
        "missing.npz": None,
        "empty.npz": b"",
        "text.npz": b"codes",
        "truncated.npz": good[:-50],
        "flipped.npz": good[:200] + bytes([good[200] ^ 255]) + good[201:],
        "truncated.json": as_json[:-50],
        "other.json": b'{"a": 1}',
        "negative.json": as_json.replace(b'"codes": [[', b'"codes": [[-'),
        "good.wav": (here / "good.wav").read_bytes(),
    }
    for name, content in bad.items():
        if content is not None:
            (here / name).write_bytes(content)
    before = listing(here)
    for name in bad:
        assert name in refused("detokenize", name, "--out", "out.wav")
        if name != "good.wav":
            assert name in refused("describe", name)
    assert listing(here) == before


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = CodecConfig(
        sample_rate=16000,
        backbone=FramesConfig(
            hop_length=320, window_length=1280, width=8, encoder_blocks=1, decoder_blocks=1
        ),
        quantizer=QuantizerConfig(num_codebooks=2, codebook_size=8, dim=4),
    )
    path = tmp_path_factory.mktemp("model") / "other.safetensors"
    save_model(path, Codec(config), {})
    return path


def test_tokens_of_another_model(here: Path, other_model: Path) -> None:
    before = listing(here)
    for out in ("out.wav", "-", "folder"):
        words = refused("detokenize", "good.npz", "--model", other_model, "--out", out)
        assert f"made by model {load().fingerprint}, this is model" in words
    assert listing(here) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"codebook_sizes": [65536] * 8, "codes": [[65535] * 25] * 8},
        {"codebook_sizes": [1024] * 9, "codes": [[0] * 25] * 9},
        {"hop_length": 8000, "codes": [[0]] * 8},
        {"sample_rate": 8000, "source": [8000, 8000, 1]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_tokens_that_claim_to_be_of_this_model(changes: dict[str, object], here: Path) -> None:
    done("tokenize", "good.wav", "--format", "json")
    tokens = json.loads((here / "good.json").read_text())
    (here / "bad.json").write_text(json.dumps({**tokens, **changes}))
    before = listing(here)
    assert "have other rates or codebook sizes" in refused("detokenize", "bad.json")
    assert listing(here) == before


# Models and options


def test_every_bad_model(here: Path) -> None:
    weights = (BUNDLED / f"{DEFAULT_MODEL}.safetensors").read_bytes()
    bad = {
        "empty.safetensors": b"",
        "text.safetensors": b"weights",
        "truncated.safetensors": weights[:-1000],
        "damaged.safetensors": weights[:-1000] + b"\x55" * 64 + weights[-936:],
    }
    for name, content in bad.items():
        (here / name).write_bytes(content)
    save_file({"a": torch.zeros(1)}, here / "foreign.safetensors")
    names = [
        *bad,
        "foreign.safetensors",
        "missing.safetensors",
        "nonsense",
        "x" * 300,
        ".",
        "good.wav",
    ]
    before = listing(here)
    for name in names:
        assert name[:20] in refused("tokenize", "good.wav", "--model", name, "--out", "t.npz")
        if name != "good.wav":
            assert name[:20] in refused("describe", name)
    assert "nonsense" in refused("detokenize", "good.npz", "--model", "nonsense", "--out", "a.wav")
    assert listing(here) == before


def test_more_levels_than_there_are(here: Path) -> None:
    before = listing(here)
    for call in (["tokenize", "good.wav", "--out", "t.npz"], ["reconstruct", "good.wav", "o.wav"]):
        assert refused(*call, "--levels", 9) == "9 levels asked for, the model has 1 to 8"
    assert listing(here) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_no_such_device(here: Path) -> None:
    words = refused("tokenize", "good.wav", "--device", "cuda", "--out", "t.npz")
    assert words == "there is no CUDA device here: choose --device cpu"


# Where results cannot go


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("good.wav/t.npz", "good.wav is a file, not a folder"),
        ("good.wav/deeper", "cannot write good.wav/deeper/good."),
        ("/proc/t.npz", "cannot write /proc/t.npz: "),
        ("/dev/null/t.npz", "cannot write /dev/null/t.npz"),
        ("x" * 300 + ".npz", "File name too long"),
        ("t.txt", "t.txt has an unknown suffix: it must be .npz or .json"),
        ("new.folder", "a folder with a dot in its name must exist"),
    ],
    ids=lambda text: text[:20],
)
def test_unwritable_output(out: str, words: str, here: Path) -> None:
    before = listing(here)
    assert words in refused("tokenize", "good.wav", "--out", out)
    sound = out.replace(".npz", ".wav")
    words = words.replace(".npz", ".wav").replace(" or .json", "").replace(".wav or", ".flac or")
    assert words.split(": it must")[0] in refused("detokenize", "good.npz", "--out", sound)
    assert listing(here) == before


def test_reconstruct_writes_sound_files_only(here: Path) -> None:
    before = listing(here)
    assert "out.txt has an unknown suffix" in refused("reconstruct", "good.wav", "out.txt")
    assert listing(here) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else(here: Path) -> None:
    (here / "closed").mkdir(mode=0o500)
    words = refused("tokenize", "good.wav", "--out", "closed/t.npz")
    assert words.startswith("cannot write closed/t.npz: Permission denied")
    assert os.listdir(here / "closed") == []


def test_one_file_for_several_results(here: Path) -> None:
    speak(here / "folder" / "a.wav")
    before = listing(here)
    for inputs in (["good.wav", "folder/a.wav"], ["folder"]):
        words = refused("tokenize", *inputs, "--out", "t.npz")
        assert words == "t.npz is one file, but several are to be written: give a folder"
    assert listing(here) == before


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file may grow beyond `limit` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


CALLS = {
    "npz": ["tokenize", "good.wav", "--out", "t.npz"],
    "json": ["tokenize", "good.wav", "--out", "t.json"],
    "wav": ["detokenize", "good.npz", "--out", "t.wav"],
    "flac": ["detokenize", "good.npz", "--out", "t.flac"],
    "ogg": ["detokenize", "good.npz", "--out", "t.ogg"],
    "reconstruct": ["reconstruct", "good.wav", "t.wav"],
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_full_disk(call: list[str], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = call[-1]
    (here / target).write_bytes(b"precious")
    before = listing(here)
    with full_disk(500):
        assert refused(*call, "--force").startswith(f"cannot write {target}: ")
    assert listing(here) == before

    def replace(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.replace", replace)
    words = refused(*call, "--force")
    assert words.startswith(f"cannot write {target}: No space left on device")
    assert listing(here) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_below_standard_output() -> None:
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with open("/dev/full", "wb") as full:
        finished = subprocess.run(
            [*PROGRAM, "describe", "good.npz"],
            env=buffered,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert finished.returncode == 1
    assert finished.stderr == b"vqaudio: cannot go on: [Errno 28] No space left on device\n"


# Recipes


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        (None, [], "cannot read the recipe r.yaml: No such file"),
        ("", [], "r.yaml is not a recipe"),
        ("steps: [", [], "r.yaml is not valid YAML"),
        ("sead: 5", [], "did you mean seed?"),
        ("steps: 5", ["--set", "steps"], "--set takes key.path=value, got 'steps'"),
        ("\0", [], "r.yaml is not valid YAML"),
    ],
)
def test_a_bad_recipe(recipe: str | None, options: list[str], words: str, here: Path) -> None:
    if recipe is not None:
        (here / "r.yaml").write_text(recipe)
    before = listing(here)
    assert words in refused("train", "r.yaml", *options)
    assert words in refused("train", "r.yaml", "--dry-run", *options)
    assert listing(here) == before


def test_a_corpus_that_is_not_there(here: Path) -> None:
    recipe = Path(__file__).parent.parent / "recipes" / "tiny.yaml"
    before = listing(here)
    assert "speech" in refused("train", recipe, "--out", "run")
    assert {name for name in listing(here) if name not in before} <= {"run", "run/recipe.yaml"}
