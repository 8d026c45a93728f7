"""Codecs of others with random weights, small, in the layout of the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sounds import babble

transformers = pytest.importorskip("transformers", reason="needs vqaudio[peers]")
snac = pytest.importorskip("snac", reason="needs vqaudio[peers]")

SMALL_ENCODEC = {"num_filters": 4, "hidden_size": 32, "codebook_dim": 32}
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
ATTENTION_SNAC = {
    **SMALL_SNAC,
    "sampling_rate": 32000,
    "encoder_dim": 16,
    "encoder_rates": [2, 2, 2, 2],
    "decoder_rates": [2, 2, 2, 2],
    "attn_window_size": 8,
}


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
            model = transformers.EncodecModel(transformers.EncodecConfig(**SMALL_ENCODEC))
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
        case "snac-attention":
            save_snac(folder, ATTENTION_SNAC)
            return folder
        case "official-snac":
            save_snac(folder, OFFICIAL_SNAC)
            return folder
    settle(model).save_pretrained(folder)
    return folder


def sound(sample_rate: int, seconds: float = 0.7) -> NDArray[np.float32]:
    """[S]: speech-like, whatever the rate."""
    return np.resize(babble(0, 0, seconds=1.0), round(seconds * sample_rate)).astype(np.float32)
