"""Neural codecs of others: the real classes with random weights say what the library says."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sounds import SAMPLE_RATE, babble

from vqaudio.errors import ModelError, VqaudioError
from vqaudio.systems import MissingError, Waveform, find_system
from vqaudio.systems.neural import PEERS, find_coder
from vqaudio.systems.neural import weights as weights_module

transformers = pytest.importorskip("transformers", reason="needs vqaudio[peers]")
snac = pytest.importorskip("snac", reason="needs vqaudio[peers]")

SMALL_DAC = {
    "encoder_hidden_size": 8,
    "decoder_hidden_size": 64,
    "downsampling_ratios": [2, 4, 5, 8],
    "n_codebooks": 12,
}
SMALL_HUBERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
SMALL_MIMI = {
    "hidden_size": 64,
    "num_filters": 8,
    "codebook_dim": 16,
    "vector_quantization_hidden_dimension": 16,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "upsample_groups": 64,
}
OFFICIAL_DAC = {"downsampling_ratios": [2, 4, 5, 8], "n_codebooks": 12}
OFFICIAL_SNAC = {
    "sampling_rate": 24000,
    "encoder_dim": 48,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_dim": 1024,
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "codebook_size": 4096,
    "codebook_dim": 8,
    "vq_strides": [4, 2, 1],
}
SMALL_SNAC = {**OFFICIAL_SNAC, "encoder_dim": 8, "decoder_dim": 64}


def small_xcodec() -> Any:
    return transformers.XcodecConfig(
        acoustic_model_config=transformers.DacConfig(
            encoder_hidden_size=8,
            decoder_hidden_size=64,
            downsampling_ratios=[8, 5, 4, 2],
            hidden_size=128,
        ),
        semantic_model_config=transformers.HubertConfig(**SMALL_HUBERT),
    )


def settle(model: Any) -> Any:
    """Random weights as they are after training: the codebooks of some classes begin at zero."""
    torch.manual_seed(0)
    for name, buffer in model.named_buffers():
        if name.endswith(("embed", "embed_sum", "embed_avg")):
            buffer.normal_()
        if name.endswith(("initialized", "cluster_usage", "cluster_size", "inited")):
            buffer.fill_(1)
    return model.eval()


def save_snac(folder: Path, config: dict[str, Any]) -> None:
    folder.mkdir()
    torch.manual_seed(0)
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(snac.SNAC(**config).state_dict(), folder / "pytorch_model.bin")


def save(kind: str, folder: Path) -> Path:
    """A model of `kind` in the layout of the hub."""
    torch.manual_seed(0)
    match kind:
        case "encodec":
            model = transformers.EncodecModel(transformers.EncodecConfig())
        case "dac":
            model = transformers.DacModel(transformers.DacConfig(**SMALL_DAC))
        case "official-dac":
            model = transformers.DacModel(transformers.DacConfig(**OFFICIAL_DAC))
        case "mimi":
            model = transformers.MimiModel(transformers.MimiConfig(**SMALL_MIMI))
        case "official-mimi":
            model = transformers.MimiModel(transformers.MimiConfig())
        case "x-codec":
            model = transformers.XcodecModel(small_xcodec())
        case "snac":
            save_snac(folder, SMALL_SNAC)
            return folder
        case "official-snac":
            save_snac(folder, OFFICIAL_SNAC)
            return folder
    settle(model).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = save(kind, tmp_path_factory.mktemp("weights") / kind)
        return made[kind]

    return get


def sound(sample_rate: int, seconds: float = 0.7) -> Waveform:
    return np.resize(babble(0, 0, seconds=1.0), round(seconds * sample_rate)).astype(np.float32)


RATES = {"encodec": 3000, "dac": 2000, "mimi": 1100, "x-codec": 2000, "snac": 984.375}
LEVELS = {"encodec": 4, "dac": 4, "mimi": 8, "x-codec": 4, "snac": 7}
SMALL = tuple(RATES)
OFFICIAL = tuple(
    pytest.param(kind, marks=pytest.mark.slow)
    for kind in ("official-dac", "official-mimi", "official-snac")
)


def library_says(kind: str, folder: Path, waveform: Waveform) -> tuple[Any, Any]:
    """Codes [Q, T] and waveform [S] by the class's own call, as its documentation shows it."""
    tensor = torch.from_numpy(waveform)[None, None]
    with torch.inference_mode():
        if kind == "snac":
            model = snac.SNAC.from_pretrained(str(folder))
            codes = model.encode(tensor)
            assert [book.shape[1] for book in codes] == [codes[0].shape[1] * n for n in (1, 2, 4)]
            columns = [c for n, c in zip((1, 2, 4), codes, strict=True) for c in by_phase(c[0], n)]
            torch.manual_seed(0)
            return np.stack(columns), model.decode(codes)[0, 0, : len(waveform)].numpy()
        name = {"x-codec": "Xcodec"}.get(kind, kind.title())
        model = getattr(transformers, f"{name}Model").from_pretrained(folder).eval()
        match kind:
            case "encodec":
                output = model(tensor, bandwidth=3.0)
                return output.audio_codes[0, 0].numpy(), output.audio_values[0, 0].numpy()
            case "mimi":
                output = model(tensor, num_quantizers=8)
            case "dac":
                output = model(tensor, n_quantizers=4)
            case "x-codec":
                output = model(tensor, bandwidth=2)
    return output.audio_codes[0].numpy(), output.audio_values.reshape(-1).numpy()


def by_phase(book: Any, count: int) -> list[Any]:
    """Every `count`-th code, from each of the first `count` on."""
    return [book[phase::count].numpy() for phase in range(count)]


@pytest.mark.parametrize("kind", [*SMALL, *OFFICIAL])
def test_codes_and_sound_are_those_of_the_library(
    kind: str, folder_of: Callable[[str], Path]
) -> None:
    key, folder = kind.removeprefix("official-"), folder_of(kind)
    coder, rate = find_coder(key, str(folder), RATES[key], device="cpu")
    assert rate == RATES[key]
    assert len(coder.codebook_sizes) == LEVELS[key]
    # Whole frames of all: where the adapters pad, the library's feature extractors would too.
    waveform = sound(coder.sample_rate)[: 5 * 2048 if key == "snac" else 9600]
    codes, decoded = library_says(key, folder, waveform)
    found = coder.encode(waveform)
    assert found.shape == (LEVELS[key], codes.shape[1])
    assert np.array_equal(found, codes)
    assert len(np.unique(found)) > 1
    again = coder.decode(found, len(waveform))
    assert again.shape == waveform.shape
    np.testing.assert_allclose(again[: len(decoded)], decoded[: len(again)], atol=1e-5)
    assert np.array_equal(again, coder.decode(found, len(waveform)))


@pytest.mark.parametrize("kind", SMALL)
def test_bits_are_codes_and_lengths_are_kept(kind: str, folder_of: Callable[[str], Path]) -> None:
    spec = f"{kind}:{folder_of(kind)}@{RATES[kind]:g}"
    system = find_system(spec, sample_rate=SAMPLE_RATE)
    assert (system.name, system.family) == (spec, PEERS[kind].label)
    for num_samples in (1, 2, 159, 321, 5000, 16_001):
        waveform = np.resize(sound(SAMPLE_RATE), num_samples)
        sent = system.transmit(waveform, SAMPLE_RATE)
        assert sent.waveform.shape == waveform.shape
        assert np.isfinite(sent.waveform).all()
        assert sent.codes is not None
        assert len(sent.codes) == len(system.codebook_sizes)
        assert all(row.max() < k for row, k in zip(sent.codes, system.codebook_sizes, strict=True))
        assert sent.num_bits == sent.codes.size * np.log2(system.codebook_sizes[0])
    # Of a second; what is over is less than two frames.
    coder = system.coder  # type: ignore[attr-defined]
    assert 0 <= sent.num_bits - RATES[kind] <= 2.1 * RATES[kind] / coder.frame_rate


def test_all_bitrates_share_the_weights(folder_of: Callable[[str], Path]) -> None:
    folder = str(folder_of("encodec"))
    coders = [find_coder("encodec", folder, rate, device="cpu")[0] for rate in (1500, 24000)]
    assert coders[0].model is coders[1].model  # type: ignore[attr-defined]
    codes = [coder.encode(sound(24000)) for coder in coders]
    assert [len(found) for found in codes] == [2, 32]
    assert np.array_equal(codes[0], codes[1][:2])


def test_the_rates_of_the_table_are_those_of_the_official_configurations() -> None:
    dac = transformers.DacConfig
    configs = {
        "encodec": transformers.EncodecConfig(),
        "dac": dac(**OFFICIAL_DAC),
        "dac-24k": dac(downsampling_ratios=[2, 4, 5, 8], n_codebooks=32, sampling_rate=24000),
        "dac-44k": dac(downsampling_ratios=[2, 4, 8, 8], n_codebooks=9, sampling_rate=44100),
        "mimi": transformers.MimiConfig(),
        "x-codec": transformers.XcodecConfig(),
    }
    for key, config in configs.items():
        model = SimpleNamespace(config=config)
        assert tuple(PEERS[key].kind.rates(model)) == pytest.approx(PEERS[key].rates), key
    fields = {**OFFICIAL_SNAC, "hop_length": 512, "n_codebooks": 3}
    assert tuple(PEERS["snac"].kind.rates(SimpleNamespace(**fields))) == PEERS["snac"].rates
    assert {*configs, "snac"} == set(PEERS)


@pytest.mark.parametrize("key", PEERS)
def test_without_weights_and_network_one_sentence_says_so(
    key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingError, match=f"{PEERS[key].repository} are not on this machine"):
        find_system(f"{key}@{PEERS[key].rates[0]:g}", sample_rate=SAMPLE_RATE)


def test_without_the_libraries_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, folder_of: Callable[[str], Path]
) -> None:
    for kind, module in (("dac", "transformers"), ("snac", "snac")):
        folder = folder_of(kind)
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(MissingError, match=r"pip install 'vqaudio\[peers\]'"):
                PEERS[kind].kind.load(folder, "cpu")


def test_folders_of_something_else_are_refused(
    tmp_path: Path, folder_of: Callable[[str], Path]
) -> None:
    with pytest.raises(MissingError, match=r"lacks config\.json: give a folder with config"):
        find_system(f"encodec:{tmp_path}@3000", sample_rate=SAMPLE_RATE)
    with pytest.raises(ModelError, match="holds no EncodecModel: it is of type dac"):
        find_system(f"encodec:{folder_of('dac')}@3000", sample_rate=SAMPLE_RATE)
    for name in ("config.json", "pytorch_model.bin"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelError, match="holds no SNAC"):
        find_system(f"snac:{tmp_path}", sample_rate=SAMPLE_RATE)
    with pytest.raises(VqaudioError, match="encodec has no 7 bit/s: choose from encodec@1500"):
        find_system(f"encodec:{folder_of('encodec')}@7", sample_rate=SAMPLE_RATE)


def test_a_silent_server_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_module, "TIMEOUT", 0.2)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes calls, and says nothing
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert not weights_module._answers(address)
