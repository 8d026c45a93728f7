"""Model files: round trips, what the fingerprint covers, and every damaged file a sentence."""

from __future__ import annotations

import json
import os
import pickle
import resource
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vqaudio.checkpoint import FORMAT_VERSION, load_model, save_model
from vqaudio.codec import Codec, CodecConfig, FramesConfig, QuantizerConfig
from vqaudio.errors import ModelError, VqaudioError

CARD = {"recipe": "test", "steps": 3, "licence": "Ärger frei"}


def make_codec(**quantizer: Any) -> Codec:
    """A small codec after two training steps."""
    torch.manual_seed(0)
    codec = Codec(
        CodecConfig(
            backbone=FramesConfig(
                hop_length=80, window_length=160, width=16, encoder_blocks=1, decoder_blocks=1
            ),
            quantizer=QuantizerConfig(num_codebooks=2, codebook_size=8, dim=4, **quantizer),
        )
    )
    codec.quantizer.stagger = 0
    for _ in range(2):
        codec(torch.randn(2, 1, 1600))
    return codec.eval()


@pytest.fixture
def codec() -> Codec:
    return make_codec()


@pytest.fixture
def path(codec: Codec, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, codec, CARD)
    return path


WAVEFORM = torch.randn(2, 1, 1000, generator=torch.Generator().manual_seed(1))


# Round trips


@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_what_is_loaded_is_what_was_saved(tmp_path: Path, codebook: str) -> None:
    codec = make_codec(codebook=codebook)
    fingerprint = save_model(tmp_path / "new" / "a.safetensors", codec, CARD)
    model = load_model(tmp_path / "new" / "a.safetensors")
    assert model.card == CARD
    assert model.codec.config == codec.config
    assert not model.codec.training
    codes = codec.encode(WAVEFORM)
    assert len(codes.unique()) > 2
    assert torch.equal(model.codec.encode(WAVEFORM), codes)
    assert torch.equal(model.codec.decode(codes), codec.decode(codes))
    assert model.fingerprint == fingerprint
    assert save_model(tmp_path / "b.safetensors", model.codec, CARD) == fingerprint
    assert (tmp_path / "b.safetensors").read_bytes() == (
        tmp_path / "new" / "a.safetensors"
    ).read_bytes()


def test_float16_is_half_the_size_and_another_model(codec: Codec, path: Path) -> None:
    half = path.with_name("half.safetensors")
    fingerprint = save_model(half, codec, CARD, dtype=torch.float16)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    model = load_model(half)
    assert model.fingerprint == fingerprint != load_model(path).fingerprint
    for name, weight in model.codec.named_parameters():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, codec.get_parameter(name).half().float())
    # The values are those of float16, so nothing is lost from here on.
    again = path.with_name("again.safetensors")
    assert save_model(again, model.codec, CARD, dtype=torch.float16) == fingerprint
    assert save_model(again, model.codec, CARD) == fingerprint


def test_a_loaded_model_can_be_trained_on(path: Path) -> None:
    codec = load_model(path).codec.train()
    output = codec(torch.randn(2, 1, 1600))
    output.commitment.backward()
    assert output.codes.max() < 8


def test_the_header_is_json_that_any_program_can_read(codec: Codec, path: Path) -> None:
    data = path.read_bytes()
    [length] = struct.unpack("<Q", data[:8])
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["vqaudio"])
    assert set(header) == {"format_version", "fingerprint", "checksum", "config", "card"}
    assert header["format_version"] == FORMAT_VERSION
    assert header["card"] == CARD
    assert CodecConfig.model_validate_json(json.dumps(header["config"])) == codec.config
    assert len(header["fingerprint"]) == 16
    int(header["fingerprint"], 16)
    # Nothing in it of a training run's state.
    names = load_file(path).keys()
    assert not [name for name in names if name.endswith(("counts", "sums", "updates"))]


# The fingerprint


def change(weight: Tensor) -> None:
    with torch.no_grad():
        weight.view(-1)[0] += 0.01


def test_the_fingerprint_covers_what_determines_codes(codec: Codec, path: Path) -> None:
    before = load_model(path).fingerprint

    def after() -> str:
        return save_model(path, codec, CARD)

    assert after() == before
    for weight in codec.decoder.parameters():
        change(weight)
    assert after() == before
    save_model(path, codec, {"another": "card"})
    assert load_model(path).fingerprint == before
    seen = {before}
    for weight in codec.encoder.parameters():
        change(weight)
        seen.add(after())
    for book in codec.quantizer.codebooks:
        change(book.get_buffer("sums"))
        seen.add(after())
    assert len(seen) == 1 + len(list(codec.encoder.parameters())) + 2


def test_the_fingerprint_covers_the_configuration(codec: Codec, path: Path) -> None:
    before = load_model(path).fingerprint
    other = Codec(codec.config.model_copy(update={"sample_rate": 8000}))
    other.load_state_dict(codec.state_dict())
    assert save_model(path, other, CARD) != before


def test_the_fingerprint_leaves_out_what_only_trains_or_decodes(codec: Codec, path: Path) -> None:
    before = load_model(path).fingerprint
    quantizer = codec.config.quantizer.model_copy(update={"dropout": 0.9, "decay": 0.5})
    other = Codec(codec.config.model_copy(update={"quantizer": quantizer}))
    other.load_state_dict(codec.state_dict())
    assert save_model(path, other, CARD) == before


def test_a_file_that_lacks_a_weight_is_refused_though_its_checksum_fits(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(path, DECODER_WEIGHT)
    monkeypatch.setattr("vqaudio.checkpoint._checksum", lambda tensors: "0" * 64)
    rewrite(path, checksum="0" * 64)
    with pytest.raises(ModelError, match=f"does not hold.*{DECODER_WEIGHT}"):
        load_model(path)


# Files


def test_the_file_has_the_permissions_of_any_other(codec: Codec, tmp_path: Path) -> None:
    for mask, expected in ((0o022, 0o644), (0o027, 0o640)):
        before = os.umask(mask)
        try:
            save_model(tmp_path / f"{mask}.safetensors", codec, CARD)
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / f"{mask}.safetensors").stat().st_mode) == expected


def test_a_full_disk_keeps_the_old_model(codec: Codec, path: Path) -> None:
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(VqaudioError, match=r"^cannot write .*model\.safetensors: File too lar"):
            save_model(path, codec, {"another": "card"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def rewrite(path: Path, **changes: Any) -> None:
    """Save the file's tensors again with other header fields."""
    data = path.read_bytes()
    [length] = struct.unpack("<Q", data[:8])
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["vqaudio"])
    save_file(load_file(path), path, {"vqaudio": json.dumps({**header, **changes})})


def without(path: Path, name: str) -> None:
    data = path.read_bytes()
    [length] = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors, path, metadata)


def flip(path: Path, name: str) -> None:
    """Change one bit of a tensor, in place."""
    data = bytearray(path.read_bytes())
    [length] = struct.unpack("<Q", data[:8])
    start = json.loads(data[8 : 8 + length])[name]["data_offsets"][0]
    data[8 + length + start + 2] ^= 0x40
    path.write_bytes(data)


ENCODER_WEIGHT = "encoder.widen.weight"
DECODER_WEIGHT = "decoder.blocks.0.mix_time.conv.weight"
CENTROIDS = "quantizer.codebooks.1.centroids"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), r"^no model at .*: give the path of a \.safetensors file\.$"),
        (lambda path: path.write_bytes(b""), "cannot be read as a model"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "cannot be read as a model"),
        (lambda path: path.write_bytes(path.read_bytes()[:500]), "cannot be read as a model"),
        (lambda path: path.write_bytes(b"\x00" * 1000), "cannot be read as a model"),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "cannot be read as a model"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read as a model"),
        (lambda path: save_file({"a": torch.zeros(1)}, path), "is a safetensors file but no vqau"),
        (
            lambda path: save_file({"a": torch.zeros(1)}, path, {"vqaudio": "{"}),
            "is a safetensors file but no vqaudio model",
        ),
        (
            lambda path: save_file({"a": torch.zeros(1)}, path, {"vqaudio": "[1]"}),
            "is a safetensors file but no vqaudio model",
        ),
        (lambda path: rewrite(path, format_version=2), "has model format 2, this vqaudio reads 1"),
        (lambda path: rewrite(path, format_version=None), "has model format None"),
        (lambda path: rewrite(path, fingerprint="0" * 16), "the header was changed"),
        (lambda path: rewrite(path, checksum="0" * 64), "is damaged: its weights are not those"),
        (lambda path: rewrite(path, config={"width": 3}), "does not hold the weights"),
        (lambda path: rewrite(path, config=None), "does not hold the weights"),
        (lambda path: rewrite(path, config={}), "does not hold the weights"),
        (lambda path: flip(path, ENCODER_WEIGHT), "is damaged: its weights are not those"),
        (lambda path: flip(path, DECODER_WEIGHT), "is damaged: its weights are not those"),
        (lambda path: flip(path, CENTROIDS), "is damaged: its weights are not those"),
        (lambda path: without(path, ENCODER_WEIGHT), "is damaged: its weights"),
        (lambda path: without(path, DECODER_WEIGHT), "is damaged: its weights"),
        (lambda path: without(path, CENTROIDS), "is damaged: its weights"),
    ],
)
def test_what_is_no_good_model_is_one_sentence(
    path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(path)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert str(path) in str(caught.value)
