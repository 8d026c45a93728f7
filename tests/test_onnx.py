"""ONNX: what the graphs compute is what torch computes, whole and as streams, without torch."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from shell import done, listing, refused, speak
from test_tokenizer import sound

from vqaudio import AudioError, ModelError, Tokenizer, Tokens, TokensError, VqaudioError
from vqaudio.checkpoint import Model, find_model, load_model, save_model
from vqaudio.codec import Codec, CodecConfig, FramesConfig, QuantizerConfig, WaveformConfig
from vqaudio.onnx import exporting
from vqaudio.onnx.checking import Check, check, refuse
from vqaudio.onnx.codebooks import FrozenCodebook
from vqaudio.onnx.exporting import export_onnx
from vqaudio.onnx.graphs import with_onnx_parts
from vqaudio.onnx.runtime import OnnxTokenizer
from vqaudio.onnx.spectra import Fold

for name in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(name, reason=f"{name} is not installed: pip install vqaudio[onnx]")

# torch takes 7 s to trace a graph, however small.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
RATE, HOP = 16_000, 32

FRAMES = FramesConfig(
    hop_length=HOP, window_length=4 * HOP, width=8, encoder_blocks=1, decoder_blocks=1
)
BACKBONES = {
    "frames": FRAMES,
    "frames of directions": FRAMES.model_copy(update={"phase": "direction"}),
    "waveform": WaveformConfig(family="waveform", strides=(4, 8), width=2),
}


class Exported(NamedTuple):
    model: Model
    folder: Path
    found: Check

    @property
    def torch(self) -> Tokenizer:
        return Tokenizer(self.model, device=torch.device("cpu"))

    @property
    def onnx(self) -> OnnxTokenizer:
        return OnnxTokenizer(self.folder, threads=1)


def tiny_model(family: str, folder: Path, *, causal: bool = False, kind: str = "ema") -> Model:
    """Random weights; the codes are placed on random latents."""
    torch.manual_seed(1)
    quantizer = QuantizerConfig(
        codebook=kind, num_codebooks=2, codebook_size=16, dim=8, fsq_levels=(4, 4), code_dim=2
    )
    backbone = BACKBONES[family]
    codec = Codec(
        CodecConfig(sample_rate=RATE, causal=causal, backbone=backbone, quantizer=quantizer)
    )
    codec.train()
    with torch.no_grad():  # every level starts: the first one at once, the next 20 passes later
        for _ in range(40):
            codec(0.1 * torch.randn(4, 1, 100 * HOP))
    save_model(folder / "model.safetensors", codec.eval(), {})
    return load_model(folder / "model.safetensors")


def export(family: str, root: Path, *, causal: bool) -> Exported:
    model = tiny_model(family, root, causal=causal)
    speech = speak(root / "speech" / "a.wav", seconds=2.0).parent
    return Exported(model, root / "out", export_onnx(model, root / "out", speech=speech))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Of a model that looks ahead, by half a frame and more. Not to be written to."""
    return export("frames", tmp_path_factory.mktemp("onnx"), causal=False)


@pytest.fixture
def copy(exported: Exported, tmp_path: Path) -> Path:
    """Of the folder, to be damaged."""
    return Path(shutil.copytree(exported.folder, tmp_path / "copy"))


def test_the_check_at_the_end_found_no_more_than_rounding(exported: Exported) -> None:
    found = exported.found
    assert found.codes == 2 * 1000
    assert found.flipped == found.stream_flipped == 0
    assert found.samples < 1e-5
    assert found.stream_samples < 1e-5


@pytest.mark.parametrize("num_samples", [1, HOP - 1, HOP, HOP + 1, 1000, 20_000])
def test_tokens_are_those_of_torch(exported: Exported, num_samples: int) -> None:
    waveform = sound(num_samples)
    tokens = exported.onnx.encode(waveform)
    assert tokens == exported.torch.encode(waveform)
    assert tokens.to_bytes() == exported.torch.encode(waveform).to_bytes()
    decoded = exported.onnx.decode(tokens)
    assert decoded.shape == (1, num_samples)
    np.testing.assert_allclose(decoded, exported.torch.decode(tokens).numpy(), atol=1e-5)


def test_long_sound_is_computed_in_the_same_pieces(exported: Exported, copy: Path) -> None:
    facts = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**facts, "piece_frames": 50}))
    waveform = sound(20_000)
    short = OnnxTokenizer(copy)
    tokens = short.encode(waveform)
    assert tokens == exported.torch.encode(waveform)
    blocks = list(short.decode_blocks(tokens))
    assert len(blocks) > 10
    expected = exported.torch.decode(tokens).numpy()[0]
    np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1e-5)


def test_fewer_levels(exported: Exported) -> None:
    tokens = exported.onnx.encode(sound(5000), num_codebooks=1)
    assert tokens == exported.torch.encode(sound(5000), num_codebooks=1)
    expected = exported.torch.decode(tokens).numpy()
    np.testing.assert_allclose(exported.onnx.decode(tokens), expected, atol=1e-5)
    stream = exported.onnx.stream_decoder(num_codebooks=1)
    streamed = np.concatenate([stream.push(tokens.codes), stream.flush()])
    np.testing.assert_allclose(streamed[:5000], expected[0], atol=1e-5)


def test_streams_resample_and_end(exported: Exported) -> None:
    waveform = sound(4000)
    stream = exported.onnx.stream_encoder(8000, num_codebooks=1)
    parts = [stream.push(waveform[place : place + 333]) for place in range(0, 4000, 333)]
    codes = np.concatenate([*parts, stream.flush()], axis=1)
    expected = exported.torch.encode(waveform, 8000, num_codebooks=1)
    assert np.array_equal(codes, expected.codes)
    with pytest.raises(VqaudioError, match="has ended"):
        stream.push(waveform)
    with pytest.raises(AudioError, match="no samples"):
        exported.onnx.stream_encoder().flush()
    with pytest.raises(TokensError, match="no codes"):
        exported.onnx.stream_decoder().flush()


def test_sounds_of_a_batch_begin_and_end_by_themselves(exported: Exported) -> None:
    # Two streams in one call, of which one is at its beginning, the other at its end.
    step, facts = exported.onnx._encoder_step, exported.onnx.manifest.encoder_step
    states = [np.zeros((2, *shape), np.float32) for shape in facts.states]
    block = np.stack([sound(9 * HOP, 0), sound(9 * HOP, 1)])[:, None]
    start, stop = np.array([facts.lead - HOP, 5 * HOP]), np.array([2**40, 8 * HOP])
    both = step.run(block, start, stop, *states)
    for item in range(2):
        own = [value[[item]] for value in (block, start, stop, *states)]
        for one, together in zip(step.run(*own), both, strict=True):
            np.testing.assert_allclose(one[0], together[item], atol=1e-6)


def test_no_torch_is_imported(exported: Exported, tmp_path: Path) -> None:
    speak(tmp_path / "in.wav")
    script = (
        "import sys; from vqaudio.cli import main\n"
        "sys.argv = ['vqaudio', *sys.argv[1:]]; main()\n"
        "assert not {'torch', 'onnx', 'onnxscript', 'scipy', 'librosa'} & set(sys.modules)\n"
    )
    runtime = ("--runtime", "onnx", "--model", exported.folder)
    for command in (("tokenize", "in.wav"), ("detokenize", "in.npz", "--out", "out.wav")):
        command = [sys.executable, "-c", script, *command, *runtime]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    tokens = exported.torch.encode_file(tmp_path / "in.wav")
    assert (tmp_path / "in.npz").read_bytes() == tokens.to_bytes()
    exported.torch.decode_file(tokens, tmp_path / "torch.wav")
    one, other = (soundfile.read(tmp_path / name)[0] for name in ("out.wav", "torch.wav"))
    np.testing.assert_allclose(one, other, atol=2**-15)


def test_the_example_of_the_documentation_runs(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "exported").symlink_to(exported.folder)
    speak(tmp_path / "in.wav", seconds=1.0)
    page = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
    ours, example = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for program in (ours, example):
        command = [sys.executable, "-I", "-c", program]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
    codes, samples = (float(line.split(":")[1]) for line in ran.stdout.splitlines())
    assert codes == 0
    assert samples < 1e-5
    assert len(soundfile.read(tmp_path / "whole.wav")[0]) == RATE


# What is refused


def test_another_model_s_tokens_are_refused(exported: Exported) -> None:
    tokens = exported.onnx.encode(sound(1000))
    other = Tokens.from_header({**tokens._header(), "model": "0" * 16}, tokens.codes)
    with pytest.raises(TokensError, match="made by model 0000000000000000"):
        exported.onnx.decode(other)
    with pytest.raises(TokensError, match="3 levels asked for, the model has 1 to 2"):
        exported.onnx.encode(sound(1000), num_codebooks=3)
    stream = exported.onnx.stream_decoder()
    with pytest.raises(TokensError, match=r"integers of shape \[2, n\]"):
        stream.push(tokens.codes[:1])
    with pytest.raises(TokensError, match="codes from 16 to 16 do not fit"):
        stream.push(np.full((2, 1), 16))


def test_a_folder_that_is_none_is_refused(copy: Path, tmp_path: Path) -> None:
    speak(tmp_path / "in.wav")

    def refusal(folder: Path) -> str:
        out = tmp_path / "out.npz"
        arguments = ("--out", out, "--runtime", "onnx", "--model", folder)
        return refused("tokenize", tmp_path / "in.wav", *arguments)

    assert "no folder with a model.json" in refusal(tmp_path / "nowhere")
    assert "no folder with a model.json" in refusal(tmp_path / "in.wav")
    graph = (copy / "encoder.onnx").read_bytes()
    (copy / "encoder.onnx").write_bytes(graph[:-1])
    assert "is not the file that was exported" in refusal(copy)
    (copy / "encoder.onnx").unlink()
    assert "encoder.onnx is missing" in refusal(copy)
    facts = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**facts, "format_version": 2}))
    assert "has format 2, this vqaudio reads 1" in refusal(copy)
    del facts["encoder_step"]
    (copy / "model.json").write_text(json.dumps(facts))
    assert "lacks what belongs there" in refusal(copy)
    (copy / "model.json").write_text("{")
    assert "is no JSON" in refusal(copy)


def test_a_file_that_is_no_graph_is_refused(copy: Path) -> None:
    facts = json.loads((copy / "model.json").read_text())
    (copy / "encoder.onnx").write_bytes(b"")
    facts["files"]["encoder.onnx"] = (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    (copy / "model.json").write_text(json.dumps(facts))
    with pytest.raises(ModelError, match="onnxruntime does not take"):
        OnnxTokenizer(copy).encode(sound(1000))


def test_options_that_do_not_fit_are_refused(exported: Exported, tmp_path: Path) -> None:
    speak(tmp_path / "in.wav")
    tokenize = ("tokenize", tmp_path / "in.wav", "--runtime", "onnx")
    assert "needs --model" in refused(*tokenize)
    pipe = ("tokenize", "-", "--out", "-", "--runtime", "onnx", "--model", exported.folder)
    assert "writes no .vqs stream" in refused(*pipe)
    assert "computes on the CPU" in refused(
        *tokenize, "--model", exported.folder, "--device", "cuda"
    )


def test_a_folder_that_exists_is_refused(exported: Exported) -> None:
    model = exported.folder.parent / "model.safetensors"
    assert "exists: give another name" in refused("export-onnx", model, exported.folder)


def test_a_check_without_recordings_is_refused_at_once(exported: Exported, tmp_path: Path) -> None:
    model = exported.folder.parent / "model.safetensors"
    assert "holds no audio file" in refused(
        "export-onnx", model, tmp_path / "out", "--check", tmp_path
    )
    assert listing(tmp_path) == {}


def test_nothing_is_left_of_an_export_that_fails(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_graph(_: object, path: Path) -> None:
        shutil.copy(exported.folder / path.name, path)

    monkeypatch.setattr(exporting, "write_graph", write_graph)
    (tmp_path / "other").mkdir()
    other = tiny_model("frames", tmp_path / "other", causal=True)  # not what the graphs compute
    before = listing(tmp_path)
    speech = exported.folder.parent / "speech"
    with pytest.raises(ModelError, match="do not compute what the model does"):
        export_onnx(other, tmp_path / "out", speech=speech)
    assert listing(tmp_path) == before


def test_force_replaces_the_graphs(
    exported: Exported, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_graph(_: object, path: Path) -> None:
        shutil.copy(exported.folder / path.name, path)

    monkeypatch.setattr(exporting, "write_graph", write_graph)
    (copy / "encoder.onnx").write_bytes(b"")
    (copy / "notes.txt").write_text("mine")
    root = exported.folder.parent
    arguments = (root / "model.safetensors", copy, "--check", root / "speech", "--force")
    lines = done("export-onnx", *arguments).lines
    assert "codes that differ from torch: 0 per million" in lines
    assert (copy / "notes.txt").read_text() == "mine"
    assert OnnxTokenizer(copy).encode(sound(1000)) == exported.torch.encode(sound(1000))


def test_what_is_more_than_rounding_is_refused() -> None:
    good = Check(100.0, 4, 100_000, 10, 10, 9e-5, 9e-5)
    refuse(good)
    refuse(Check(1.0, 4, 1000, 4, 4, 0.0, 0.0))  # one frame may always
    for bad in (
        {"flipped": 11},
        {"stream_flipped": 11},
        {"samples": 2e-4},
        {"stream_samples": np.inf},
    ):
        with pytest.raises(ModelError):
            refuse(good._replace(**bad))


def test_a_stream_s_channels_are_those_it_began_with(exported: Exported) -> None:
    both = np.stack([sound(1000), sound(1000)[::-1]])
    stream = exported.onnx.stream_encoder()
    parts = [stream.push(both[:, :999]), stream.push(both[:, 999:])]  # 2 channels of one sample
    with pytest.raises(AudioError, match="samples of 1 channels came, those before were of 2"):
        stream.push(both[0])
    codes = np.concatenate([*parts, stream.flush()], axis=1)
    assert np.array_equal(codes, exported.torch.encode(both).codes)


# The parts that stand in for torch's


@pytest.mark.parametrize("kind", ["ema", "gradient", "cosine", "fsq"])
def test_frozen_codebooks_are_the_codebooks(kind: str, tmp_path: Path) -> None:
    codec = tiny_model("frames", tmp_path, kind=kind).codec
    x = torch.randn(500, 8)
    for book in codec.quantizer.books:
        frozen = FrozenCodebook(book)
        codes = book.encode(x)
        assert torch.equal(frozen.encode(x), codes)
        torch.testing.assert_close(frozen.decode(codes), book.decode(codes))
        assert not frozen.decode(torch.tensor([-1])).any()


@pytest.mark.parametrize("length", [2, 3, 8, 9])
def test_folded_windows_give_the_spectrum(length: int) -> None:
    windows, fold = torch.randn(5, length), Fold(length)
    even, odd = fold.fold(windows)
    spectrum = torch.fft.rfft(windows)
    torch.testing.assert_close(even @ fold.cos, spectrum.real)
    torch.testing.assert_close(odd @ -fold.sin, spectrum.imag)
    torch.testing.assert_close(fold.unfold(*fold.fold(windows))[:, 0], windows[:, 0])


@pytest.mark.parametrize("family", ["frames", "frames of directions"])
@pytest.mark.parametrize("causal", [False, True])
def test_real_spectra_are_the_spectra(causal: bool, family: str, tmp_path: Path) -> None:
    codec = tiny_model(family, tmp_path, causal=causal).codec
    real = with_onnx_parts(codec)
    waveform = torch.from_numpy(sound(10 * HOP + 5))[None, None]
    spectra = zip(real.encoder.analysis(waveform), codec.encoder.analysis(waveform), strict=True)
    for one, other in spectra:
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    features = torch.randn(1, 9, codec.decoder.synthesis.num_features)
    lengths = torch.tensor([7])
    torch.testing.assert_close(
        real.decoder.synthesis(features, lengths), codec.decoder.synthesis(features, lengths)
    )


# Slow


@pytest.mark.parametrize(
    ("family", "causal"),
    [("frames", True), ("frames of directions", False), ("waveform", False), ("waveform", True)],
)
def test_other_models_export(family: str, causal: bool, tmp_path: Path) -> None:
    other = export(family, tmp_path, causal=causal)
    assert other.found.flipped == other.found.stream_flipped == 0
    for num_samples in (1, HOP, HOP + 1, 777):
        waveform = sound(num_samples)
        assert other.onnx.encode(waveform) == other.torch.encode(waveform)
        found = check(other.torch, other.onnx, [waveform[None]])
        assert found.stream_flipped == 0
        assert max(found.samples, found.stream_samples) < 1e-5


@pytest.mark.parametrize("kind", ["cosine", "fsq"])
def test_other_codebooks_export(kind: str, tmp_path: Path) -> None:
    model = tiny_model("frames", tmp_path, kind=kind)
    speech = speak(tmp_path / "speech" / "a.wav", seconds=2.0).parent
    assert export_onnx(model, tmp_path / "out", speech=speech).flipped == 0


def test_the_bundled_model_exports(tmp_path: Path) -> None:
    found = export_onnx(find_model(), tmp_path / "out")
    assert found.seconds > 10
    assert found.flips_per_million < 200
    assert found.samples < 1e-5
