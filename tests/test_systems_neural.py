"""Neural codecs of others: the real classes with random weights say what the library says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peers import OFFICIAL_DAC, OFFICIAL_SNAC, snac, sound, transformers
from sounds import SAMPLE_RATE

from vqaudio.errors import MissingError, ModelError, VqaudioError
from vqaudio.peers import KINDS, PeerCodec, find_files, load_codec
from vqaudio.peers.snac import Snac
from vqaudio.systems import Waveform, find_system
from vqaudio.systems.neural import PEERS, find_peer, rates_of

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
    kind: str, peer_folder: Callable[[str], Path]
) -> None:
    key, folder = kind.removeprefix("official-"), peer_folder(kind)
    system = find_peer(key, key, str(folder), RATES[key], device="cpu")
    codec = system.codec
    assert len(system.codebook_sizes) == LEVELS[key]
    # Whole frames of all: where the adapters pad, the library's feature extractors would too.
    waveform = sound(codec.sample_rate)[: 5 * 2048 if key == "snac" else 9600]
    codes, decoded = library_says(key, folder, waveform)
    sent = system.transmit(waveform, codec.sample_rate)
    assert sent.codes is not None
    assert sent.codes.shape == (LEVELS[key], codes.shape[1])
    assert np.array_equal(sent.codes, codes)
    assert len(np.unique(sent.codes)) > 1
    assert sent.waveform.shape == waveform.shape
    np.testing.assert_allclose(sent.waveform[: len(decoded)], decoded[: len(waveform)], atol=1e-5)
    assert np.array_equal(sent.waveform, system.transmit(waveform, codec.sample_rate).waveform)


@pytest.mark.parametrize("kind", SMALL)
def test_bits_are_codes_and_lengths_are_kept(kind: str, peer_folder: Callable[[str], Path]) -> None:
    spec = f"{kind}:{peer_folder(kind)}@{RATES[kind]:g}"
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
    codec = system.codec  # type: ignore[attr-defined]
    assert 0 <= sent.num_bits - RATES[kind] <= 2.1 * RATES[kind] / codec.frame_rate


def test_all_bitrates_share_the_weights(peer_folder: Callable[[str], Path]) -> None:
    folder = str(peer_folder("encodec"))
    few, many = [find_peer("", "encodec", folder, rate, device="cpu") for rate in (1500, 24000)]
    assert few.codec is many.codec
    codes = [system.transmit(sound(24000), 24000).codes for system in (few, many)]
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
    models = {key: SimpleNamespace(config=config) for key, config in configs.items()}
    models["snac"] = SimpleNamespace(**OFFICIAL_SNAC, hop_length=512, n_codebooks=3)
    assert set(models) == set(PEERS)
    kinds = {kind.label: kind for kind in (*KINDS.values(), Snac)}
    for key, model in models.items():
        codec = PeerCodec(kinds[PEERS[key].kind](model))  # type: ignore[call-arg]
        assert tuple(rates_of(codec)) == pytest.approx(PEERS[key].rates), key


@pytest.mark.parametrize("key", PEERS)
def test_without_weights_and_network_one_sentence_says_so(
    key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingError, match=f"files of {PEERS[key].repository} are not on this"):
        find_system(f"{key}@{PEERS[key].rates[0]:g}", sample_rate=SAMPLE_RATE)


def test_without_the_libraries_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, peer_folder: Callable[[str], Path]
) -> None:
    for kind, module in (("dac", "transformers"), ("snac", "snac")):
        folder = peer_folder(kind)
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(MissingError, match=r"pip install 'vqaudio\[peers\]'"):
                load_codec(find_files(str(folder)))


def test_folders_of_something_else_are_refused(
    tmp_path: Path, peer_folder: Callable[[str], Path]
) -> None:
    with pytest.raises(MissingError, match=r"lacks config\.json: give a folder with config"):
        find_system(f"encodec:{tmp_path}@3000", sample_rate=SAMPLE_RATE)
    with pytest.raises(ModelError, match="holds no EnCodec: it is of the kind DAC"):
        find_system(f"encodec:{peer_folder('dac')}@3000", sample_rate=SAMPLE_RATE)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="is of no type: known are encodec, dac, mimi, xcodec and"):
        find_system(f"snac:{tmp_path}", sample_rate=SAMPLE_RATE)
    with pytest.raises(VqaudioError, match="encodec has no 7 bit/s: choose from encodec@1500"):
        find_system(f"encodec:{peer_folder('encodec')}@7", sample_rate=SAMPLE_RATE)
