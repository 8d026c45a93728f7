"""The token contract: one sound has one sequence of codes, however it is brought."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vqaudio
from vqaudio import AudioError, ModelError, Tokenizer, Tokens, TokensError, audio
from vqaudio.checkpoint import Model, find_model, load_model, save_model
from vqaudio.codec import Codec, CodecConfig, FramesConfig, QuantizerConfig, WaveformConfig
from vqaudio.devices import find_device
from vqaudio.layers import FrameLinear, can_pack

CPU = torch.device("cpu")
HOP = 32

BACKBONES = {
    "frames": FramesConfig(
        hop_length=HOP, window_length=4 * HOP, width=16, encoder_blocks=2, decoder_blocks=3
    ),
    "waveform": WaveformConfig(family="waveform", strides=(4, 8), width=4),
}

relaxed = settings(
    max_examples=20,
    deadline=None,
    # The same examples on every run: of a million codes of random sound one may lie so near to a
    # tie that the rounding of another batch shape decides, and the gate must not be a lottery.
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def small_model(family: str, *, causal: bool, folder: Path) -> Model:
    """A model with random weights and codebooks placed on random latents, as a file gives it."""
    torch.manual_seed(1)
    config = CodecConfig(
        sample_rate=1600,
        causal=causal,
        backbone=BACKBONES[family],
        quantizer=QuantizerConfig(num_codebooks=3, codebook_size=16, dim=8),
    )
    codec = Codec(config)
    residual = codec.encoder(0.1 * torch.randn(4, 1, 4000)).transpose(1, 2).reshape(-1, 8).detach()
    for book in codec.quantizer.books:
        centroids = residual[torch.randperm(len(residual))[:16]]
        book.place(centroids)
        residual = residual - centroids[torch.cdist(residual, centroids).argmin(dim=1)]
    save_model(folder / "model.safetensors", codec, {})
    return load_model(folder / "model.safetensors")


@pytest.fixture(
    scope="module",
    params=[(family, causal) for family in BACKBONES for causal in (False, True)],
    ids=lambda p: f"{p[0]}-{'causal' if p[1] else 'centred'}",
)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    family, causal = request.param
    return small_model(family, causal=causal, folder=tmp_path_factory.mktemp("model"))


def tokenizer_of(model: Model, *, pieces_at_once: int = 1, piece_frames: int = 500) -> Tokenizer:
    tokenizer = Tokenizer(model, device=CPU, pieces_at_once=pieces_at_once)
    tokenizer.piece_frames = piece_frames
    return tokenizer


def sound(num_samples: int, seed: int = 0) -> np.ndarray:
    """[S] noise whose level moves, so that many codes occur."""
    random = np.random.default_rng(seed)
    level = 0.2 * (1.1 + np.sin(np.arange(num_samples) / 150))
    return (level * random.standard_normal(num_samples)).astype(np.float32)


@relaxed
@given(num_samples=st.integers(1, 40 * HOP))
def test_decoding_gives_as_many_samples_as_were_encoded(model: Model, num_samples: int) -> None:
    tokenizer = tokenizer_of(model)
    tokens = tokenizer.encode(sound(num_samples))
    assert tokens.codes.shape == (3, -(-num_samples // HOP))
    assert tokenizer.decode(tokens).shape == (1, num_samples)


@relaxed
@given(
    lengths=st.lists(st.integers(1, 60 * HOP), min_size=1, max_size=6),
    pieces_at_once=st.integers(1, 8),
    piece_frames=st.integers(1, 40),
)
def test_batch_and_piece_length_change_no_code(
    model: Model, lengths: list[int], pieces_at_once: int, piece_frames: int
) -> None:
    sounds = [sound(length, seed) for seed, length in enumerate(lengths)]
    alone = [tokenizer_of(model).encode(samples) for samples in sounds]
    together = tokenizer_of(model, pieces_at_once=pieces_at_once, piece_frames=piece_frames)
    assert together.encode_batch(sounds) == alone
    whole = tokenizer_of(model)
    for tokens in alone:
        torch.testing.assert_close(together.decode(tokens), whole.decode(tokens), rtol=0, atol=1e-4)


def test_a_tokenizer_goes_through_a_pickle(model: Model) -> None:
    """As to another process; it is made ready there, too."""
    tokenizer = tokenizer_of(model)
    waveform = sound(1000)
    tokens = tokenizer.encode(waveform)
    tokenizer.stream_encoder().push(waveform)
    again = pickle.loads(pickle.dumps(tokenizer))
    assert np.array_equal(again.encode(waveform).codes, tokens.codes)
    assert torch.equal(again.decode(tokens), tokenizer.decode(tokens))


@pytest.mark.skipif(not can_pack(torch.zeros(1)), reason="nothing is packed on this processor")
def test_the_linear_layers_of_a_tokenizer_are_packed() -> None:
    tokenizer = vqaudio.load(device="cpu")
    for ready in (tokenizer, pickle.loads(pickle.dumps(tokenizer))):
        layers = [layer for layer in ready.codec.modules() if isinstance(layer, FrameLinear)]
        assert layers
        with torch.inference_mode():
            for layer in layers:
                assert layer.packed.serves(torch.zeros(1, layer.in_features), layer.weight)


def test_many_codes_occur(model: Model) -> None:
    # Else the tests above could pass on a model that always gives the same code.
    codes = tokenizer_of(model).encode(sound(200 * HOP)).codes
    assert all(len(np.unique(row)) >= 6 for row in codes)


def test_a_file_and_its_samples_have_the_same_tokens(model: Model, tmp_path: Path) -> None:
    samples = sound(70 * HOP + 5).clip(-1, 1)
    soundfile.write(tmp_path / "in.wav", samples, 1600, subtype="FLOAT")
    tokenizer = tokenizer_of(model, piece_frames=11)
    assert tokenizer.encode_file(tmp_path / "in.wav") == tokenizer.encode(samples)


def test_another_rate_and_channels_as_file_and_as_array(model: Model, tmp_path: Path) -> None:
    stereo = np.stack([sound(4410), 0.5 * sound(4410, 1)])
    soundfile.write(tmp_path / "in.wav", stereo.T, 4410, subtype="FLOAT")
    tokenizer = tokenizer_of(model)
    tokens = tokenizer.encode_file(tmp_path / "in.wav")
    assert tokens == tokenizer.encode(stereo, 4410)
    assert tokens.num_samples == 1600
    assert tokens.source == (4410, 4410, 2)
    tokenizer.decode_file(tokens, tmp_path / "out.wav")
    info = soundfile.info(tmp_path / "out.wav")
    assert (info.samplerate, info.frames, info.channels) == (4410, 4410, 1)


def test_arrays_tensors_lists_and_integers_are_the_same_sound(model: Model) -> None:
    tokenizer = tokenizer_of(model)
    integers = (sound(500).clip(-1, 1) * 32767).astype(np.int16)
    floats = (integers / 32768).astype(np.float32)
    expected = tokenizer.encode(floats)
    assert tokenizer.encode(integers) == expected
    assert tokenizer.encode(torch.from_numpy(floats)) == expected
    assert tokenizer.encode(floats[None]) == expected
    assert tokenizer.encode(floats.tolist()) == expected


def test_threads_change_no_code(model: Model) -> None:
    samples = sound(300 * HOP)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = tokenizer_of(model).encode(samples)
        torch.set_num_threads(2)
        assert tokenizer_of(model).encode(samples) == one
    finally:
        torch.set_num_threads(before)


def test_what_the_program_around_has_chosen_changes_no_code(model: Model) -> None:
    tokenizer = tokenizer_of(model)
    tokens = tokenizer.encode(sound(100 * HOP))
    decoded = tokenizer.decode(tokens)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert tokenizer.encode(sound(100 * HOP)) == tokens
            assert torch.equal(tokenizer.decode(tokens), decoded)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_fewer_levels_are_the_first_levels(model: Model) -> None:
    tokenizer = tokenizer_of(model)
    tokens = tokenizer.encode(sound(1000))
    assert tokenizer.encode(sound(1000), num_codebooks=2) == tokens.first(2)
    coarse = tokenizer.decode(tokens.first(1))
    assert coarse.shape == (1, 1000)
    assert not torch.equal(coarse, tokenizer.decode(tokens))


@pytest.mark.parametrize("rate", [1600.0, np.int64(1600), np.float32(4410)])
def test_any_kind_of_number_is_a_sample_rate(
    model: Model, rate: float | np.number, tmp_path: Path
) -> None:
    tokens = tokenizer_of(model).encode(sound(500), rate)
    tokens.save(tmp_path / "a.json")
    assert Tokens.load(tmp_path / "a.json") == tokens
    assert tokens.source == (int(rate), 500, 1)


@pytest.mark.parametrize("rate", ["1600", None, 1600j, [1600]])
def test_what_is_no_number_is_no_sample_rate(rate: Any) -> None:
    with pytest.raises(AudioError, match="a whole number from 1,000"):
        audio.as_waveform(sound(500), rate, target_rate=1600)


def test_a_type_that_numpy_lacks_is_read(model: Model) -> None:
    samples = torch.from_numpy(sound(500)).to(torch.bfloat16)
    tokenizer = tokenizer_of(model)
    assert tokenizer.encode(samples) == tokenizer.encode(samples.float())


@pytest.mark.parametrize("levels", [0, 4, -1])
def test_levels_that_the_model_lacks_are_refused(model: Model, levels: int) -> None:
    with pytest.raises(TokensError, match="the model has 1 to 3"):
        tokenizer_of(model).encode(sound(100), num_codebooks=levels)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(0, np.float32), "no samples"),
        (np.full(10, np.nan), "NaN"),
        (np.full(10, np.inf), "infinite"),
        (np.full(10, 20000.0), "scale to"),
        (np.zeros((1000, 2)), "transpose"),
        (np.zeros((2, 3, 4)), "shape"),
        (np.array(0.5), "shape"),
        (np.zeros(10, complex), "no waveform"),
        (np.zeros(10, np.uint8), "no waveform"),
        ([0, 1000, -1000], "samples of type int64 are no waveform"),
        (np.full(10, 1e300), "infinite"),
        ([[0.1, 0.2], [0.3]], "list cannot be read as samples"),
    ],
)
def test_what_is_no_sound_is_refused(model: Model, samples: np.ndarray, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        tokenizer_of(model).encode(samples)


def test_tokens_of_another_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = tokenizer_of(small_model("frames", causal=False, folder=tmp_path / "a"))
    other = tokenizer_of(small_model("frames", causal=True, folder=tmp_path / "b"))
    tokens = one.encode(sound(100))
    with pytest.raises(TokensError, match="decode them with the model that made them"):
        other.decode(tokens)
    with pytest.raises(TokensError, match="decode them with the model that made them"):
        other.decode_file(tokens, tmp_path / "out.wav")
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"codebook_sizes": (65536, 16, 16), "codes": np.full((3, 4), 15)},
        {"codebook_sizes": (16,) * 4, "codes": np.zeros((4, 4), int)},
        {"hop_length": 100, "codes": np.zeros((3, 1), int)},
        {"sample_rate": 16000},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_tokens_that_do_not_fit_the_model_they_name_are_refused(
    model: Model, changes: dict[str, Any]
) -> None:
    tokenizer = tokenizer_of(model)
    parts = {
        "codes": np.zeros((3, 4), int),
        "num_samples": 100,
        "sample_rate": 1600,
        "hop_length": HOP,
        "codebook_sizes": (16,) * 3,
        "model": tokenizer.fingerprint,
    }
    assert tokenizer.decode(Tokens(**parts)).shape == (1, 100)
    with pytest.raises(TokensError, match="other rates or codebook sizes"):
        tokenizer.decode(Tokens(**{**parts, **changes}))


def test_the_bundled_model_works_offline_and_says_what_it_is() -> None:
    tokenizer = vqaudio.load()
    assert tokenizer.sample_rate == 16000
    assert "16000 Hz" in repr(tokenizer)
    tokens = tokenizer.encode(sound(16000))
    assert tokens.model == tokenizer.fingerprint
    assert torch.isfinite(tokenizer.decode(tokens)).all()


@pytest.mark.parametrize("name", ["nonsense", "no/such/model.safetensors", "no.safetensors"])
def test_unknown_models_are_refused(name: str) -> None:
    with pytest.raises(ModelError):
        find_model(name)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "tpu", "meta", "mps", "xpu", "cpu:0", ""])
def test_unknown_devices_are_refused(device: str) -> None:
    with pytest.raises(ModelError, match="choose auto, cpu, cuda or cuda:N"):
        vqaudio.load(device=device)


def test_a_missing_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ModelError, match=r"no device cuda:7: the last one here is cuda:1"):
        find_device("cuda:7")


@pytest.mark.gpu
def test_a_gpu_gives_the_codes_of_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    samples = sound(160000)
    on_cpu, on_gpu = vqaudio.load(device="cpu"), vqaudio.load(device="cuda")
    same = on_cpu.encode(samples).codes == on_gpu.encode(samples).codes
    assert same.mean() > 0.999
