"""The commands, each as a user types it. What they refuse is in test_cli_failures.py."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from shell import PROGRAM, done, listing, refused, speak, vqaudio
from sounds import SAMPLE_RATE, babble, recorded_speech

from vqaudio import Tokens, load
from vqaudio.tokenizer import Tokenizer
from vqaudio.train.log import RunLog

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def speech_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.5 s and one sample, 16 kHz mono; alone in its folder, and not to be written to."""
    path = tmp_path_factory.mktemp("speech_file") / "in.wav"
    soundfile.write(path, babble(3, 0, seconds=1.5 + 1 / SAMPLE_RATE), SAMPLE_RATE)
    return path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a test works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def samples_of(path: str | Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


# Length


@pytest.mark.parametrize(
    ("rate", "channels", "num_samples", "form"),
    [
        (16000, 1, 24001, "npz"),
        (44100, 2, 30000, "json"),
        (8000, 1, 9999, "npz"),
        (48000, 6, 5000, "npz"),
        (11025, 1, 3001, "npz"),
        (16000, 1, 1, "json"),
        (44100, 2, 1, "npz"),
        (8000, 1, 1, "npz"),
        (16000, 1, 320, "npz"),
        (16000, 1, 321, "npz"),
        (16000, 1, 10 * 16000 + 1, "npz"),  # a piece and one sample
    ],
)
def test_as_many_samples_come_out_as_went_in(
    rate: int, channels: int, num_samples: int, form: str
) -> None:
    speech = np.resize(babble(0, 0, seconds=1), (num_samples, channels))
    soundfile.write("in.wav", speech, rate)
    line = done("tokenize", "in.wav", "--format", form).out.decode()
    assert line.startswith(f"in.wav -> in.{form}: ")
    assert ("mono)" in line) == ((rate, channels) != (16000, 1))
    assert Tokens.load(f"in.{form}").source == (rate, num_samples, channels)
    line = done("detokenize", f"in.{form}", "--out", "out.wav").out.decode()
    assert line == f"in.{form} -> out.wav: {num_samples} samples at {rate} Hz\n"
    info = soundfile.info("out.wav")
    assert (info.samplerate, info.channels, info.frames) == (rate, 1, num_samples)


@pytest.mark.parametrize("name", ["silence", "full scale", "one click"])
def test_extreme_sounds_keep_their_length(name: str) -> None:
    time = np.arange(8000)
    sounds = {
        "silence": np.zeros(8000),
        "full scale": np.sign(np.sin(time / 3)),
        "one click": (time == 4000).astype(float),
    }
    soundfile.write("in.flac", sounds[name], 16000)
    done("tokenize", "in.flac")
    done("detokenize", "in.npz")
    assert len(samples_of("in.wav")) == 8000


def test_real_speech_keeps_its_length() -> None:
    soundfile.write("in.flac", recorded_speech()[:-123], SAMPLE_RATE)
    done("tokenize", "in.flac", "--out", "t.npz")
    done("detokenize", "t.npz", "--out", "out.flac")
    assert soundfile.info("out.flac").frames == soundfile.info("in.flac").frames


@pytest.mark.slow
@pytest.mark.parametrize("command", ["tokenize", "detokenize"])
def test_ten_minutes_take_little_memory(command: str) -> None:
    seconds = 600
    with soundfile.SoundFile("in.wav", "w", SAMPLE_RATE, 1) as file:
        for take in range(seconds // 20):
            file.write(babble(take % 6, take, seconds=20))
    if command == "detokenize":
        done("tokenize", "in.wav")
    source, target = {"tokenize": ("in.wav", "out.npz"), "detokenize": ("in.npz", "out.wav")}[
        command
    ]
    measure = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    call = [sys.executable, "-c", measure, *PROGRAM, command, source, "--out", target]
    finished = subprocess.run(call, capture_output=True, check=True)
    kilobytes = int(finished.stdout.split()[-1])
    assert kilobytes < 1.5 * 2**20
    if command == "detokenize":
        assert soundfile.info(target).frames == seconds * SAMPLE_RATE


# Where results go


def test_the_result_lies_beside_its_source(speech_file: Path, here: Path) -> None:
    source = here / "a.b.WAV"
    source.write_bytes(speech_file.read_bytes())
    result = done("tokenize", source)
    assert result.out.decode() == (
        f"{source} -> {here}/a.b.npz: 8 x 76 codes, 1.50 s, 4000 bit/s\n"
    )
    assert result.err == ""
    assert sorted(listing(here)) == ["a.b.WAV", "a.b.npz"]
    assert Tokens.load("a.b.npz") == load().encode_file(speech_file)


def test_out_is_a_file_for_one_input(speech_file: Path, here: Path) -> None:
    done("tokenize", speech_file, "--out", "new/a.npz")
    done("tokenize", speech_file, "--out", "b.json")  # the suffix says which format
    done("detokenize", "b.json", "--out", "new/c.flac")
    done("detokenize", "b.json", "--out", "new/d.OGG")
    assert sorted(listing(here)) == ["b.json", "new", "new/a.npz", "new/c.flac", "new/d.OGG"]
    assert Tokens.load("new/a.npz") == Tokens.load("b.json")
    assert soundfile.info("new/c.flac").format == "FLAC"
    assert soundfile.info("new/d.OGG").format == "OGG"


def test_out_is_a_folder_otherwise(speech_file: Path, here: Path) -> None:
    (here / "folder.npz").mkdir()
    other = speak(here / "other.flac")
    done("tokenize", speech_file, "--out", "new")
    done("tokenize", speech_file, "--out", "folder.npz", "--format", "json")
    result = done("tokenize", speech_file, other, "--out", "both")
    assert [line.split(":")[0] for line in result.lines] == [
        f"{speech_file} -> both/in.npz",
        f"{other} -> both/other.npz",
    ]
    assert {"new/in.npz", "folder.npz/in.json", "both/other.npz"} < set(listing(here))


def test_a_folder_keeps_its_tree(here: Path) -> None:
    speak(here / "set" / "one" / "a.wav", speaker=1)
    speak(here / "set" / "two" / "deep" / "a.flac", speaker=2)
    speak(here / "set" / ".hidden" / "b.wav")
    (here / "set" / "notes.txt").write_text("not audio")
    before = listing(here / "set")
    result = done("tokenize", "set", "--out", "tokens")
    assert len(result.lines) == 2
    assert {name for name, content in listing(here / "tokens").items() if content} == {
        "one/a.npz",
        "two/deep/a.npz",
    }
    assert listing(here / "set") == before
    (here / "tokens" / ".cache").mkdir()
    (here / "tokens" / ".cache" / "c.json").write_text("hidden, and no tokens")
    (here / "tokens" / "folder.json").mkdir()
    result = done("detokenize", "tokens", "--out", "sound")
    assert len(result.lines) == 2
    for name in ("one/a.wav", "two/deep/a.wav"):
        assert len(samples_of(here / "sound" / name)) == 8000


def test_a_folder_without_out_is_filled_up(here: Path) -> None:
    speak(here / "set" / "one" / "a.wav")
    speak(here / "b.wav")
    done("tokenize", "set", "b.wav", "set/one/a.wav", "b.wav")  # the same file twice is once
    assert sorted(listing(here)) == ["b.npz", "b.wav", "set", *SET_ONE]


SET_ONE = ["set/one", "set/one/a.npz", "set/one/a.wav"]


def test_standard_input_and_output(speech_file: Path, here: Path) -> None:
    wav = speech_file.read_bytes()
    result = done("tokenize", "-", stdin=wav)
    assert Tokens.from_bytes(result.out, "-") == load().encode_file(speech_file)
    assert result.err == "- -> -: 8 x 76 codes, 1.50 s, 4000 bit/s\n"
    as_json = done("tokenize", "-", "--format", "json", stdin=wav).out
    assert as_json.startswith(b"{")
    assert done("tokenize", speech_file, "--out", "-", "--format", "json").out == as_json
    sound = done("detokenize", "-", stdin=as_json)
    assert soundfile.info(io.BytesIO(sound.out)).frames == 24001
    assert listing(here) == {}
    done("tokenize", "-", "--out", "folder", stdin=wav)
    done("tokenize", "-", "--out", "a.json", stdin=wav)
    done("detokenize", "-", "--out", "a.wav", stdin=as_json)
    assert sorted(listing(here)) == ["a.json", "a.wav", "folder", "folder/stdin.npz"]
    assert (here / "a.wav").read_bytes() == sound.out


def test_two_programs_and_a_pipe(speech_file: Path, here: Path) -> None:
    # `head` reads a little and goes away; no complaint then, as with any program.
    program = " ".join([f"'{word}'" for word in PROGRAM])
    script = f"{program} tokenize - < {speech_file} | {program} detokenize - | head -c 12"
    finished = subprocess.run(["sh", "-c", script], capture_output=True, check=False)
    assert finished.stdout[:4] + finished.stdout[8:] == b"RIFFWAVE"
    assert b"Error" not in finished.stderr
    assert listing(here) == {}


# --levels, --force, --model


def test_levels_are_the_first_of_all(speech_file: Path) -> None:
    done("tokenize", speech_file, "--out", "all.npz")
    line = done("tokenize", speech_file, "--out", "two.npz", "--levels", 2).out.decode()
    assert "2 x 76 codes, 1.50 s, 1000 bit/s" in line
    assert Tokens.load("two.npz") == Tokens.load("all.npz").first(2)
    done("detokenize", "two.npz")
    assert len(samples_of("two.wav")) == 24001


def test_nothing_is_replaced_without_force(speech_file: Path, here: Path) -> None:
    (here / "a.npz").write_bytes(b"precious")
    (here / "a.wav").write_bytes(b"precious")
    done("tokenize", speech_file, "--out", "tokens.npz")
    for call in (
        ["tokenize", speech_file, "--out", "a.npz"],
        ["detokenize", "tokens.npz", "--out", "a.wav"],
        ["reconstruct", speech_file, "a.wav"],
    ):
        before = listing(here)
        result = vqaudio(*call)
        assert (result.code, listing(here)) == (1, before)
        assert result.err == (
            f"vqaudio: {call[-1]} exists: give another name, or --force to replace it\n"
        )
        done(*call, "--force")
        assert listing(here)[str(call[-1])] != b"precious"
        (here / str(call[-1])).write_bytes(b"precious")


def test_results_that_would_collide_are_reported(here: Path) -> None:
    speak(here / "a.wav", speaker=1)
    speak(here / "a.flac", speaker=2)
    for second in ("a.flac", here / "a.flac"):
        result = vqaudio("tokenize", "a.wav", second, "--force")
        assert result.code == 1
        assert len(result.lines) == 1
        assert "a.npz would also be the result of a.wav: rename one of the two" in result.err
        assert Tokens.load("a.npz") == load().encode_file("a.wav")


def test_a_bad_file_stops_no_other(here: Path) -> None:
    speak(here / "set" / "a.wav")
    (here / "set" / "b.wav").write_text("not audio")
    speak(here / "set" / "c.wav")
    result = vqaudio("tokenize", "set", "missing.wav", "--out", "tokens")
    assert result.code == 1
    assert [line.split(" -> ")[0] for line in result.lines] == ["set/a.wav", "set/c.wav"]
    bad, missing, summary = result.err.splitlines()
    assert bad.startswith("vqaudio: set/b.wav is not audio")
    assert missing == "vqaudio: missing.wav does not exist; check the name"
    assert summary == "vqaudio: 2 of 4 files failed"
    assert sorted(listing(here / "tokens")) == ["a.npz", "c.npz"]


def test_a_terminal_shows_progress_and_a_file_gets_the_results(here: Path) -> None:
    for name in ("a.wav", "b.wav"):
        speak(here / name)
    call = ("tokenize", "a.wav", "b.wav", "--force")
    to_file = vqaudio(*call, terminal=("stderr",))
    assert len(to_file.lines) == 2
    assert "tokenize" in to_file.err
    assert "a.npz" not in to_file.err
    to_terminal = vqaudio(*call, terminal=("stdout", "stderr"))
    assert "a.npz" in to_terminal.err  # one terminal, and the lines stand above the bar
    assert vqaudio(*call).err == ""


# The other commands


def test_reconstruct_is_tokenize_and_detokenize(speech_file: Path, here: Path) -> None:
    line = done("reconstruct", speech_file, "once.wav", "--levels", 3).out.decode()
    assert line == f"{speech_file} -> once.wav: 3 x 76 codes, 1.50 s, 1500 bit/s\n"
    done("tokenize", speech_file, "--out", "t.npz", "--levels", 3)
    done("detokenize", "t.npz", "--out", "twice.wav")
    assert (here / "once.wav").read_bytes() == (here / "twice.wav").read_bytes()


def test_describe_the_bundled_model() -> None:
    lines = done("describe").lines
    fingerprint = load().fingerprint
    assert lines[0].split() == ["fingerprint", fingerprint]
    text = "\n".join(lines)
    for word in ("sample rate", "bitrates", "parameters", "receptive field", "latency", "licence"):
        assert word in text
    facts = json.loads(done("describe", "--json").out)
    assert facts["fingerprint"] == fingerprint
    assert facts["bitrates"] == [500.0 * level for level in range(1, 9)]
    assert facts["training"]["steps"] > 0
    assert json.loads(done("describe", "speech-16k", "--json").out) == facts


@pytest.mark.parametrize("name", ["t.npz", "t.json"])
def test_describe_tokens(speech_file: Path, name: str) -> None:
    done("tokenize", speech_file, "--out", name, "--levels", 2)
    facts = json.loads(done("describe", name, "--json").out)
    assert facts["num_samples"] == 24001
    assert facts["codebook_sizes"] == [1024, 1024]
    assert facts["source"] == {"sample_rate": 16000, "num_samples": 24001, "num_channels": 1}
    assert "num samples     24001" in done("describe", name).lines


@pytest.mark.parametrize(
    "recipe", sorted(ROOT.glob("recipes/[!p]*.yaml")), ids=lambda path: path.stem
)
def test_a_dry_run_says_what_would_be_trained(recipe: Path, here: Path) -> None:
    text = done("train", recipe, "--dry-run", "--set", "stages.0.steps=123").out.decode()
    assert "steps: 123\n" in text
    for word in ("parameters", "receptive field", "bitrates", "hours", "latency"):
        assert word in text
    assert listing(here) == {}


def test_train_then_use_the_model(speech_folder: Path, speech_file: Path, here: Path) -> None:
    recipe = ROOT / "recipes" / "tiny.yaml"
    settings = [f"data.corpora.0.root={speech_folder}", "stages.0.steps=4", "validate_every=4"]
    options = [word for setting in settings for word in ("--set", setting)]
    result = done("train", recipe, *options)
    assert result.lines[-1] == "runs/tiny/model.safetensors"
    model = here / "runs" / "tiny" / "model.safetensors"
    assert json.loads(done("describe", model, "--json").out)["training"]["steps"] == 4
    done("tokenize", speech_file, "--model", model, "--out", "t.npz")
    done("detokenize", "t.npz", "--model", model)
    assert len(samples_of("t.wav")) == 24001
    result = vqaudio("detokenize", "t.npz", "--out", "again.wav")
    assert result.code == 1
    assert "decode them with the model that made them" in result.err
    done("train", recipe, *options, "--out", "elsewhere")
    assert (here / "elsewhere" / "model.safetensors").read_bytes() == model.read_bytes()


def test_tokens_of_the_command_line_are_those_of_the_library(speech_file: Path) -> None:
    code = "import vqaudio; t = vqaudio.load().encode_file('in.wav'); print(t)"
    call = [sys.executable, "-c", code]
    finished = subprocess.run(call, cwd=speech_file.parent, capture_output=True, check=True)
    done("tokenize", speech_file, "--out", "t.npz")
    assert finished.stdout.decode() == f"{Tokens.load('t.npz')!r}\n"
    assert finished.stderr == b""


# Manners


def test_help_and_tokens_do_not_wait_for_torch(speech_file: Path, here: Path) -> None:
    done("tokenize", speech_file, "--out", "t.npz")
    code = """
        import sys
        from vqaudio.cli import main
        for arguments in (["--help"], ["tokenize", "--help"], ["describe", "t.npz"], ["nonsense"]):
            sys.argv = ["vqaudio", *arguments]
            try:
                main()
            except SystemExit:
                pass
        print(sorted({"torch", "librosa", "numba", "scipy", "soundfile", "av"} & set(sys.modules)))
    """
    code = "\n".join(line[8:] for line in code.splitlines())
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    lines = finished.stdout.decode().splitlines()
    assert lines[-1] == "[]"
    assert "Usage: vqaudio [OPTIONS] COMMAND [ARGS]..." in finished.stdout.decode()
    for command in ("tokenize", "detokenize", "reconstruct", "describe", "train"):
        assert any(line.split()[:1] == [command] for line in lines)


@pytest.mark.parametrize(
    "call",
    [
        ["nonsense"],
        ["tokenize"],
        ["tokenize", "in.wav", "--nonsense"],
        ["tokenize", "in.wav", "--levels", "0"],
        ["tokenize", "in.wav", "--levels", "many"],
        ["tokenize", "in.wav", "--format", "mp3"],
        ["tokenize", "in.wav", "--device", "abacus"],
        ["tokenize", "in.wav", "--format", "json", "--out", "a.npz"],
        ["detokenize"],
        ["reconstruct", "in.wav"],
        ["describe", "one", "two"],
        ["train"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(call: list[str], here: Path) -> None:
    result = vqaudio(*call)
    assert result.code == 2
    assert result.out == b""
    assert "Error: " in result.err
    assert "Traceback" not in result.err
    assert listing(here) == {}


def test_ctrl_c_is_exit_code_130(
    speech_file: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    done("tokenize", speech_file, "--out", "t.npz")
    before = listing(here)
    # Whatever is being written then.
    monkeypatch.setattr(Tokenizer, "_encode_pieces", interrupted)
    monkeypatch.setattr("vqaudio.audio.AudioWriter.write", interrupted)
    for call in (
        ["tokenize", speech_file, "--out", "new/u.npz"],
        ["detokenize", "t.npz"],
        ["reconstruct", speech_file, "a.wav"],
    ):
        result = vqaudio(*call)
        assert result.code == 130
        assert "Traceback" not in result.err
        assert listing(here) == before


def test_a_name_that_is_no_text_can_be_said(speech_file: Path, here: Path) -> None:
    done("tokenize", speech_file, "--out", os.fsdecode(b"\xff.npz"))
    assert done("describe", os.fsdecode(b"\xff.npz")).code == 0
    assert os.listdir(os.fsencode(here)) == [b"\xff.npz"]


# The demonstration


def test_demo_replaces_nothing_without_force(speech_file: Path, here: Path) -> None:
    assert "(0 is equal)" in done("demo", speech_file, "--out", "made").out.decode()
    assert sorted(os.listdir("made")) == ["in.decoded.wav", "in.npz"]
    made = listing(here)
    for name in ("in.npz", "in.decoded.wav"):
        (here / "made" / name).rename(here / "aside")
        (other,) = os.listdir("made")
        before = listing(here)
        words = refused("demo", speech_file, "--out", "made")
        assert words == f"made/{other} exists: give another name, or --force to replace it"
        assert listing(here) == before
        (here / "aside").rename(here / "made" / name)
    (here / "made" / "in.npz").write_bytes(b"old")
    done("demo", speech_file, "--out", "made", "--force")
    assert listing(here) == made


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(("options", "end"), [([], ""), (["IN=my file.wav"], ' "my file.wav"')])
def test_make_demo_takes_a_name_with_spaces(options: list[str], end: str) -> None:
    call = ["make", "--no-print-directory", "-n", "-C", str(ROOT), "demo", *options]
    finished = subprocess.run(call, capture_output=True, check=True, text=True)
    assert finished.stdout.splitlines()[-1].rstrip() == f".venv/bin/vqaudio demo --force{end}"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_mends_an_environment_without_pip(here: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, here)
    python = here / ".venv" / "bin" / "python"  # there, but of an environment left half made
    python.parent.mkdir(parents=True)
    python.symlink_to(shutil.which("true") or "true")
    call = ["make", ".venv/installed", "PYTHON=echo made by"]
    finished = subprocess.run(call, cwd=here, capture_output=True, check=True, text=True)
    assert "made by -m venv .venv" in finished.stdout.splitlines()


# What a run of training says


def test_a_run_says_its_lines_as_they_are(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "the same call goes on from runs/[/x]/[bold]state.pt " + "word " * 30 + "end"
    with RunLog(here, steps=1, first=0) as log:
        log.say(line)
    assert line in capsys.readouterr().err.splitlines()
