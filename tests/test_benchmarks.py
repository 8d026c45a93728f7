"""Every benchmark runs, with the smallest settings that it has; what it measures is not judged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from shell import done
from sounds import SAMPLE_RATE, babble, recorded_speech
from test_cli_prior import TINY

import vqaudio

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"

pytestmark = pytest.mark.slow

TESTED = {
    "blocks",
    "contract",
    "export",
    "onnx_graphs",
    "phases",
    "pipe",
    "prior",
    "quantizer_layer",
    "quantizers",
    "speed",
    "streaming",
    "train",
}
PARTS = {"measuring", "peers"}
"""Files that the others import."""


def run(name: str, *arguments: object) -> str:
    """What it prints."""
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", BENCHMARKS / f"{name}.py", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def need(module: str) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


def test_all_are_tested() -> None:
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == TESTED | PARTS


@pytest.mark.parametrize(
    ("system", "library"),
    [
        ("vqaudio", "vqaudio"),
        ("EnCodec 24 kHz", "transformers"),
        ("Mimi", "transformers"),
        ("DAC 16 kHz", "transformers"),
        ("SNAC 24 kHz", "snac"),
        ("WavTokenizer-like 40 Hz", "vocos"),
    ],
)
def test_speed(system: str, library: str, tmp_path: Path) -> None:
    need(library)
    file = tmp_path / "figures.json"
    run("speed", "--quick", "--threads", 1, "--json", file, "--systems", system)
    figures = json.loads(file.read_text(encoding="utf-8"))["as it is"]["systems"][system]
    official = {"vqaudio": 7, "EnCodec": 15, "Mimi": 79, "DAC": 74, "SNAC": 20, "WavTokenizer": 72}
    assert figures["tokens_per_second"] > 0
    assert len(figures["loads"]) == 2
    (size,) = [size for name, size in official.items() if system.startswith(name)]
    assert round(figures["parameters"] / 1e6) == size


def test_speed_names_what_is_not_there() -> None:
    if find_spec("vocos") is not None:
        pytest.skip("all libraries are installed")
    printed = run("speed", "--quick", "--threads", 1, "--systems", "WavTokenizer-like 40 Hz")
    assert "WavTokenizer-like 40 Hz is left out: ModuleNotFoundError" in printed


def test_quantizer_layer(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    run("quantizer_layer", "--quick", "--threads", 1, "--json", file)
    layers = [figure["layer"] for figure in json.loads(file.read_text(encoding="utf-8"))]
    assert layers[0] == "vqaudio"
    need("vector_quantize_pytorch")
    assert layers[1] == "vector-quantize-pytorch"


def test_contract(tmp_path: Path) -> None:
    """The contract itself, of the bundled model: batch, pieces, streams and threads on speech."""
    tokenizer = vqaudio.load(device="cpu")
    for place, part in enumerate(np.split(recorded_speech(), [30_000, 75_001, 76_234])):
        soundfile.write(tmp_path / f"{place}.wav", part, tokenizer.sample_rate)
    lines = run("contract", tmp_path, "--threads", 1, 2).splitlines()
    ways = [row for row in lines if re.match(r"\| \w+ \| (\d+ frames|ragged) \| ", row)]
    assert len(ways) == 13
    for way in ways:
        cells = way.strip("| ").split(" | ")
        assert int(cells[3]) <= len(tokenizer.codec.codebook_sizes), way  # one near tie at the most
        assert float(cells[-1]) < 1e-5, way
    assert "Encoder in bfloat16: codes of a million" in lines


def test_streaming(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    run("streaming", "--seconds", 0.2, "--threads", 1, "--json", file)
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert all(row["p99_ms"] >= row["median_ms"] > 0 for row in figures.values())
    assert {"vqaudio, 1 stream, encode", "vqaudio, 64 streams, decode"} <= figures.keys()


def test_pipe(speech_folder: Path) -> None:
    *_, short, long = run("pipe", speech_folder, "--minutes", 0.02, 0.2).splitlines()
    assert short.startswith("| 0.02 | ")
    assert long.startswith("| 0.2 | ")
    for row in (short, long):
        codes, samples = row.strip("| ").split(" | ")[-2:]
        assert codes.startswith("0 of ")
        assert int(samples) <= 1


def test_onnx_graphs(tmp_path: Path, speech_folder: Path) -> None:
    need("onnxscript")
    need("onnxruntime")
    done("export-onnx", "speech-16k", str(tmp_path / "exported"))
    printed = run("onnx_graphs", tmp_path / "exported", "--speech", speech_folder, "--threads", 1)
    assert "| int8 | " in printed


def test_export(speech_folder: Path) -> None:
    printed = run("export", speech_folder, "--files", 3, "--hours", 0.005)
    assert "| short, " in printed
    assert "| long, " in printed


def test_train() -> None:
    printed = run("train", "--threads", 1, "--seconds", 0.01, "--widths", 16)
    assert "| 16 | bfloat16 |" in printed


def test_quantizers(speech_folder: Path, tmp_path: Path) -> None:
    need("pystoi")
    out, corpus = tmp_path / "run", tmp_path / "data" / "speechocean762"
    recipe = ["recipes/tiny.yaml", "--set", f"data.corpora.0.root={speech_folder}"]
    done("train", *recipe, "--out", str(out))
    (corpus / "test").mkdir(parents=True)
    for n, file in enumerate(sorted(speech_folder.glob("*/*.wav"))[:3]):
        copy = corpus / "WAVE" / f"SPEAKER{n}" / "0.WAV"
        copy.parent.mkdir(parents=True)
        copy.write_bytes(file.read_bytes())
    write_rows(corpus / "test" / "wav.scp", [f"u{n} WAVE/SPEAKER{n}/0.WAV" for n in range(3)])
    write_rows(corpus / "test" / "utt2spk", [f"u{n} s{n}" for n in range(3)])
    write_rows(corpus / "test" / "text", [f"u{n} A" for n in range(3)])
    printed = run("quantizers", out, "--root", tmp_path / "data", "--every", 2)
    assert "tokens a level, 2 utterances listened to" in printed


def test_blocks(tmp_path: Path) -> None:
    for speaker in range(12):  # so many that some are held out
        file = tmp_path / "recordings" / f"s{speaker}" / "0.wav"
        file.parent.mkdir(parents=True)
        soundfile.write(file, babble(speaker, 0, seconds=3.5), SAMPLE_RATE)
    tiny = (ROOT / "recipes" / "tiny.yaml").read_text(encoding="utf-8")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(re.sub(r"root: [^,}\s]+", f"root: {tmp_path / 'recordings'}", tiny))
    found = re.findall(r"^\| (none|\d) \| ([\d.]+) \| [\d.]+ \|$", run("blocks", recipe), re.M)
    assert [block for block, _ in found] == ["none", "0", "1", "2", "3", "4"]
    losses = [float(loss) for _, loss in found]
    assert losses[1] > losses[0]  # without the first one it is hardly speech


def test_phases(tmp_path: Path) -> None:
    need("pystoi")
    need("pesq")
    soundfile.write(tmp_path / "speech.wav", recorded_speech()[:48000], 16000)
    found = re.findall(r"^\| (.+) \| (\d+ Hz) \| (.+) \| .+ \|$", run("phases", tmp_path), re.M)
    clear = {(what, limit): float(value) for what, limit, value in found}
    everything = [clear["everything", f"{limit} Hz"] for limit in (500, 1000, 2000, 8000)]
    assert everything == sorted(everything)
    assert everything[-1] == 1.0
    assert clear["phases", "8000 Hz"] > clear["phases, but for 0.7 rad", "8000 Hz"]


def write_rows(file: Path, rows: list[str]) -> None:
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_prior(tmp_path: Path) -> None:
    need("speechmos")
    recordings, shards, out = (str(tmp_path / name) for name in ("recordings", "shards", "run"))
    for speaker in range(3):
        file = Path(recordings, f"s{speaker}", "0.wav")
        file.parent.mkdir(parents=True)
        soundfile.write(file, babble(speaker, 0, seconds=8.0), SAMPLE_RATE)
    done("export", recordings, shards, "--format", "jsonl")
    done("prior", "train", shards, out, *TINY)
    printed = run("prior", Path(out, "prior.safetensors"), recordings, "--files", 1)
    assert "| prior | " in printed
