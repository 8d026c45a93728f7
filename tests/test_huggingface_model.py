"""Our codec as an audio tokenizer of transformers: it says what `vqaudio.Tokenizer` says."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peers import sound

import vqaudio
from vqaudio.checkpoint import load_model, save_model
from vqaudio.codec import Codec, CodecConfig, FramesConfig, QuantizerConfig, WaveformConfig
from vqaudio.errors import AudioError, ModelError, TokensError, VqaudioError
from vqaudio.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers", reason="needs vqaudio[hf]")

from vqaudio.huggingface.model import VqaudioConfig, VqaudioModel  # noqa: E402

CODECS = {
    "frames": CodecConfig(
        backbone=FramesConfig(
            hop_length=40, window_length=80, width=16, encoder_blocks=2, decoder_blocks=2
        ),
        quantizer=QuantizerConfig(num_codebooks=3, codebook_size=16, dim=8),
    ),
    "waveform": CodecConfig(
        sample_rate=8000,
        backbone=WaveformConfig(family="waveform", strides=(2, 4, 5), width=4),
        quantizer=QuantizerConfig(
            codebook="fsq", num_codebooks=2, codebook_size=60, fsq_levels=(5, 4, 3), dim=8
        ),
    ),
}
LENGTHS = (1, 39, 40, 41, 1_234, 4_000)


def tokenizer_of(kind: str, folder: Path) -> Tokenizer:
    torch.manual_seed(0)
    codec = Codec(CODECS[kind]).eval()
    for book in codec.quantizer.books:
        if hasattr(book, "sums"):
            book.sums.normal_()
    path = folder / f"{kind}.safetensors"
    save_model(path, codec, {})
    return Tokenizer(load_model(path), device=torch.device("cpu"))


@pytest.fixture(params=list(CODECS))
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    return tokenizer_of(request.param, tmp_path)


def batch_of(model: Any, tokenizer: Tokenizer) -> tuple[list[Any], Any]:
    sounds = [sound(tokenizer.sample_rate, 1.0)[:length] for length in LENGTHS]
    rate = tokenizer.sample_rate
    return sounds, model.feature_extractor(sounds, sampling_rate=rate, return_tensors="pt")


def test_a_batch_has_the_codes_and_sounds_of_the_tokenizer(tokenizer: Tokenizer) -> None:
    model = VqaudioModel.from_tokenizer(tokenizer)
    sounds, batch = batch_of(model, tokenizer)
    output = model(**batch)
    frames = model.get_audio_codes_mask(batch["padding_mask"]).sum(dim=-1)
    assert output.audio_values.shape == batch["input_values"].shape
    for place, samples in enumerate(sounds):
        tokens = tokenizer.encode(samples)
        num_frames = int(frames[place])
        assert num_frames == tokens.num_frames
        codes = output.audio_codes[place]
        assert np.array_equal(codes[:, :num_frames].numpy(), tokens.codes)
        assert not codes[:, num_frames:].any()
        values = output.audio_values[place, 0]
        torch.testing.assert_close(
            values[: len(samples)], tokenizer.decode(tokens)[0], atol=1e-4, rtol=0
        )
        assert not values[len(samples) :].any()


def test_without_a_mask_all_is_sound(tokenizer: Tokenizer) -> None:
    model = VqaudioModel.from_tokenizer(tokenizer)
    waveform = sound(tokenizer.sample_rate, 0.2)
    values = torch.from_numpy(waveform)[None, None]
    output = model.encode(values)
    assert np.array_equal(output.audio_codes[0].numpy(), tokenizer.encode(waveform).codes)
    fewer = model.encode(values, num_quantizers=1, return_dict=False)
    assert torch.equal(fewer[0], output.audio_codes[:, :1])
    decoded = model.decode(output.audio_codes).audio_values
    assert decoded.shape == (1, 1, output.audio_codes.shape[-1] * model.config.hop_length)
    codes, again = model(values, return_dict=False)
    assert torch.equal(codes, output.audio_codes)
    assert torch.equal(again, decoded[..., : len(waveform)])


def test_a_saved_model_is_the_same_by_whatever_class(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = VqaudioModel.from_tokenizer(tokenizer)
    model.save_pretrained(tmp_path / "saved")
    _, batch = batch_of(model, tokenizer)
    expected = model(**batch)
    loaded = [
        VqaudioModel.from_pretrained(tmp_path / "saved"),
        transformers.AutoModel.from_pretrained(tmp_path / "saved"),
        VqaudioModel.from_pretrained(tmp_path / "saved", output_loading_info=True)[0],
    ]
    for again in loaded:
        assert type(again) is VqaudioModel
        assert not again.training
        output = again(**batch)
        assert torch.equal(output.audio_codes, expected.audio_codes)
        assert torch.equal(output.audio_values, expected.audio_values)
        assert again.codec.config == tokenizer.codec.config  # type: ignore[attr-defined]
    config = transformers.AutoConfig.from_pretrained(tmp_path / "saved")
    assert type(config) is VqaudioConfig
    assert config.sampling_rate == tokenizer.sample_rate
    assert config.frame_rate == tokenizer.codec.frame_rate
    assert (config.codebook_size,) * config.num_quantizers == tokenizer.codec.codebook_sizes
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "saved")
    assert (extractor.sampling_rate, extractor.hop_length) == (
        tokenizer.sample_rate,
        tokenizer.codec.hop_length,
    )
    assert (tmp_path / "saved" / "model.safetensors").exists()
    with pytest.raises(ModelError, match="is a safetensors file but no vqaudio model"):
        vqaudio.load(tmp_path / "saved")


def test_its_calls_are_those_of_mimi() -> None:
    for method in ("encode", "decode"):
        own = inspect.signature(getattr(VqaudioModel, method)).parameters
        mimi = inspect.signature(getattr(transformers.MimiModel, method)).parameters
        shared = [name for name in mimi if name in own]
        assert list(own)[: len(shared)] == shared
        assert len(shared) >= 3


def test_codes_can_be_learned_from(tokenizer: Tokenizer) -> None:
    """Tensors that a model made in inference mode cannot, unless they are copied."""
    model = VqaudioModel.from_tokenizer(tokenizer)
    codes = model.encode(torch.zeros(1, 1, 400)).audio_codes
    embedding = torch.nn.Embedding(64, 4)
    embedding(codes).sum().backward()
    assert embedding.weight.grad is not None
    waveform = model.decode(codes).audio_values
    layer = torch.nn.Conv1d(1, 1, 3)
    layer(waveform).sum().backward()
    assert layer.weight.grad is not None


def test_what_it_cannot_take_is_one_sentence(tmp_path: Path) -> None:
    model = VqaudioModel.from_tokenizer(tokenizer_of("frames", tmp_path))
    values = torch.zeros(2, 1, 100)
    with pytest.raises(TokensError, match="4 levels asked for, the model has 1 to 3"):
        model.encode(values, num_quantizers=4)
    for shape in ((2, 100), (2, 2, 100), (2, 1, 0)):
        with pytest.raises(AudioError, match=r"input_values are \[B, 1, S\], not"):
            model.encode(torch.zeros(shape))
    with pytest.raises(AudioError, match=r"padding_mask is \[B, S\], \[2, 100\], not \[2, 90\]"):
        model.encode(values, torch.ones(2, 90))
    left, none = torch.ones(2, 100), torch.ones(2, 100)
    left[0, :10], none[0] = 0, 0
    for mask in (left, none):
        with pytest.raises(AudioError, match="pad at the end"):
            model.encode(values, mask)


def test_a_configuration_of_something_else_is_one_sentence() -> None:
    with pytest.raises(ModelError, match="no codec: sample_rat: Extra inputs are not permitted"):
        VqaudioConfig({"sample_rat": 16_000})


def test_a_codec_of_others_has_its_own_class(peer_folder: Any) -> None:
    with pytest.raises(ModelError, match="take its own class in transformers"):
        VqaudioModel.from_tokenizer(vqaudio.load(f"hf:{peer_folder('dac')}"))


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqaudio import huggingface

    assert huggingface.VqaudioModel is VqaudioModel
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(VqaudioError, match=r"VqaudioModel needs transformers.*vqaudio\[hf\]"):
        huggingface.VqaudioModel  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        huggingface.nonsense  # noqa: B018


def test_the_bundled_model() -> None:
    tokenizer = vqaudio.load(device="cpu")
    model = VqaudioModel.from_tokenizer(tokenizer)
    waveform = sound(16_000, 0.3)
    codes = model.encode(torch.from_numpy(waveform)[None, None]).audio_codes
    assert np.array_equal(codes[0].numpy(), tokenizer.encode(waveform).codes)
