"""What describe says is what the codec, the model file and the tokens are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vqaudio.checkpoint import load_model, save_model
from vqaudio.codec import Codec, CodecConfig, FramesConfig, QuantizerConfig, WaveformConfig
from vqaudio.describe import describe_codec, describe_model, describe_tokens, to_lines
from vqaudio.tokens import Source, Tokens

BACKBONES = {
    "frames": FramesConfig(
        hop_length=40, window_length=160, width=16, encoder_blocks=2, decoder_blocks=3
    ),
    "waveform": WaveformConfig(family="waveform", strides=(5, 8), width=4),
}


def codec_of(family: str, *, causal: bool = False, **quantizer: Any) -> Codec:
    torch.manual_seed(0)
    sizes = {"num_codebooks": 3, "codebook_size": 16, "dim": 8, **quantizer}
    return Codec(
        CodecConfig(
            sample_rate=2000,
            causal=causal,
            backbone=BACKBONES[family],
            quantizer=QuantizerConfig(**sizes),
        )
    )


@pytest.mark.parametrize("family", BACKBONES)
def test_a_codec(family: str) -> None:
    codec = codec_of(family)
    facts = describe_codec(codec)
    assert facts["family"] == family
    assert facts["causal"] is False
    assert (facts["sample_rate"], facts["hop_length"], facts["frame_rate"]) == (2000, 40, 50)
    assert facts["codebook_sizes"] == [16, 16, 16]
    assert facts["tokens_per_second"] == 150
    assert facts["bitrates"] == [200, 400, 600]
    assert facts["codebook_values"] == 3 * 16 * 8
    parameters = facts["encoder_parameters"] + facts["decoder_parameters"]
    networks = [codec.encoder, codec.decoder]
    assert parameters == sum(p.numel() for network in networks for p in network.parameters())
    assert facts["receptive_field_seconds"] == facts["receptive_field"] / 2000


@pytest.mark.parametrize("family", BACKBONES)
@pytest.mark.parametrize("causal", [False, True])
def test_the_receptive_field_is_what_the_encoder_hears(family: str, causal: bool) -> None:
    codec = codec_of(family, causal=causal).eval()
    facts = describe_codec(codec)
    assert facts["causal"] is causal
    frames = 200
    waveform = torch.randn(1, 1, frames * 40, requires_grad=True)
    codec.encoder(waveform)[0, :, frames // 2].sum().backward()
    assert waveform.grad is not None
    (heard,) = waveform.grad[0, 0].nonzero(as_tuple=True)
    span = int(heard.max() - heard.min()) + 1
    # Windows taper to zero, so the outermost samples may count for nothing.
    assert facts["receptive_field"] - 4 <= span <= facts["receptive_field"]


@pytest.mark.parametrize("family", BACKBONES)
def test_a_causal_codec_answers_sooner(family: str) -> None:
    latency = {
        causal: describe_codec(codec_of(family, causal=causal))["latency_seconds"]
        for causal in (False, True)
    }
    assert 0 < latency[True] < latency[False]


def test_the_kind_of_codebook_is_named() -> None:
    assert describe_codec(codec_of("frames"))["codebook"] == "ema"
    assert describe_codec(codec_of("frames", codebook="gradient"))["codebook"] == "gradient"


def test_a_model_is_its_codec_its_fingerprint_and_its_training(tmp_path: Path) -> None:
    card = {"steps": 10, "corpora": ["one", "two"], "licence": "CC0"}
    save_model(tmp_path / "model.safetensors", codec_of("frames"), card)
    model = load_model(tmp_path / "model.safetensors")
    facts = describe_model(model)
    assert facts["fingerprint"] == model.fingerprint
    assert facts["training"] == card
    assert facts.items() >= describe_codec(model.codec).items()
    assert json.loads(json.dumps(facts)) == facts


def tokens_of(source: Source | None) -> Tokens:
    codes = np.zeros((2, 50), np.uint16)
    return Tokens(codes, 2000, 2000, 40, (16, 1024), "0123456789abcdef", source)


def test_tokens() -> None:
    facts = describe_tokens(tokens_of(Source(44100, 44100, 2)))
    assert facts == {
        "model": "0123456789abcdef",
        "sample_rate": 2000,
        "frame_rate": 50,
        "codebook_sizes": [16, 1024],
        "num_frames": 50,
        "num_samples": 2000,
        "seconds": 1,
        "bitrate": 50 * (4 + 10),
        "source": {"sample_rate": 44100, "num_samples": 44100, "num_channels": 2},
    }
    assert json.loads(json.dumps(facts)) == facts
    assert describe_tokens(tokens_of(None))["source"] is None


def test_lines_are_aligned_words() -> None:
    facts = {
        "frame_rate": 50.0,
        "latency_seconds": 0.123456789,
        "causal": True,
        "streaming": False,
        "bitrates": [500.0, 1000.0],
        "source": None,
        "licence": "CC0 for the weights,\n  as for the speech\n",
        "training": {"steps": 7, "data": {"hours": 0.5}},
        "name": "last",
    }
    assert to_lines(facts) == [
        "frame rate       50 frames/s",
        "latency seconds  0.123457 s",
        "causal           yes",
        "streaming        no",
        "bitrates         500, 1000 bit/s",
        "source           unknown",
        "licence          CC0 for the weights, as for the speech",
        "training",
        "  steps  7",
        "  data",
        "    hours  0.5",
        "name             last",
    ]
    assert to_lines({}) == []


def test_every_fact_of_a_codec_is_a_line() -> None:
    facts = describe_codec(codec_of("waveform"))
    lines = to_lines(facts)
    assert len(lines) == len(facts)
    for name, line in zip(facts, lines, strict=True):
        assert re.match(rf"{name.replace('_', ' ')} {{2,}}\S", line)
