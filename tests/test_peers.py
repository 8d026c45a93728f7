"""Codecs of others as tokenizers: the codes of their libraries, and the manners of our own."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from peers import snac, sound, transformers
from shell import done, refused, speak

import vqaudio
from vqaudio import Tokenizer, Tokens
from vqaudio.checkpoint import find_model
from vqaudio.describe import describe_model
from vqaudio.errors import MissingError, ModelError, TokensError
from vqaudio.export import Order, export
from vqaudio.peers.finding import find_files, fingerprint_of
from vqaudio.tokenizer import PIECE_SECONDS

KINDS = ("encodec", "dac", "mimi", "x-codec", "snac", "snac-attention")
LENGTHS = (1, 2, 159, 321, 5000, 12_001)
Folders = Callable[[str], Path]


@pytest.fixture(scope="module")
def tokenizer_of(peer_folder: Folders) -> Callable[[str], Tokenizer]:
    made: dict[str, Tokenizer] = {}

    def get(kind: str) -> Tokenizer:
        if kind not in made:
            made[kind] = vqaudio.load(f"hf:{peer_folder(kind)}", device="cpu")
        return made[kind]

    return get


def library_codes(kind: str, folder: Path, waveform: torch.Tensor) -> Any:
    """[Q, T] of [1, 1, S] by the library's own call, all codebooks."""
    with torch.inference_mode():
        match kind:
            case "encodec":
                model = transformers.EncodecModel.from_pretrained(folder).eval()
                return model.encode(waveform, bandwidth=24.0).audio_codes[0, 0].numpy()
            case "mimi":
                model = transformers.MimiModel.from_pretrained(folder).eval()
                return model.encode(waveform).audio_codes[0].numpy()
            case "dac":
                model = transformers.DacModel.from_pretrained(folder).eval()
                padded = padded_to(waveform, model.config.hop_length)
                return model.encode(padded).audio_codes[0].numpy()
            case "x-codec":
                model = transformers.XcodecModel.from_pretrained(folder).eval()
                padded = padded_to(waveform, model.config.hop_length)
                return model.encode(padded, bandwidth=4).audio_codes[0].numpy()
        model = snac.SNAC.from_pretrained(str(folder))
        books = [book[0].numpy() for book in model.encode(waveform)]
        column = model.preprocess(torch.zeros(1, 1, 1)).shape[-1]
        return np.stack(
            [
                book[phase :: column // model.hop_length // stride]
                for book, stride in zip(books, model.vq_strides, strict=True)
                for phase in range(column // model.hop_length // stride)
            ]
        )


def padded_to(waveform: torch.Tensor, hop_length: int) -> torch.Tensor:
    return torch.nn.functional.pad(waveform, (0, -waveform.shape[-1] % hop_length))


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_those_of_the_library(
    kind: str, peer_folder: Folders, tokenizer_of: Callable[[str], Tokenizer]
) -> None:
    tokenizer = tokenizer_of(kind)
    waveform = sound(tokenizer.sample_rate)[:9_999]
    tokens = tokenizer.encode(waveform)
    expected = library_codes(kind, peer_folder(kind), torch.from_numpy(waveform)[None, None])
    assert np.array_equal(tokens.codes, expected)
    assert len(np.unique(tokens.codes)) > 1


def test_long_sound_is_computed_whole(
    peer_folder: Folders, tokenizer_of: Callable[[str], Tokenizer]
) -> None:
    """Longer than the pieces that our own codec is given."""
    waveform = sound(24_000, PIECE_SECONDS + 2)
    tokens = tokenizer_of("encodec").encode(waveform)
    whole = torch.from_numpy(waveform)[None, None]
    assert np.array_equal(tokens.codes, library_codes("encodec", peer_folder("encodec"), whole))
    (block,) = tokenizer_of("encodec").decode_blocks(tokens)
    assert len(block) == len(waveform)


@pytest.mark.parametrize("kind", KINDS)
def test_the_contract_of_tokens_holds(
    kind: str, tokenizer_of: Callable[[str], Tokenizer], tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(kind)
    hop = tokenizer.codec.hop_length
    waveforms = [sound(tokenizer.sample_rate, 3.0)[:length] for length in LENGTHS]
    batch = tokenizer.encode_batch(waveforms)
    for waveform, tokens in zip(waveforms, batch, strict=True):
        assert tokens.num_frames == -(-len(waveform) // hop)
        assert tokens == tokenizer.encode(waveform)
        decoded = tokenizer.decode(tokens)
        assert decoded.shape == (1, len(waveform))
        assert decoded.isfinite().all()
        assert torch.equal(decoded, tokenizer.decode(tokens))
    soundfile.write(tmp_path / "a.wav", waveforms[-1], tokenizer.sample_rate, subtype="FLOAT")
    from_file = tokenizer.encode_file(tmp_path / "a.wav")
    assert np.array_equal(from_file.codes, batch[-1].codes)
    tokenizer.decode_file(from_file, tmp_path / "b.wav")
    assert soundfile.info(tmp_path / "b.wav").frames == LENGTHS[-1]
    for suffix in (".npz", ".json", ".vqa"):
        from_file.save(tmp_path / f"a{suffix}")
        assert Tokens.load(tmp_path / f"a{suffix}") == from_file


def test_a_batch_of_tensors_is_computed_one_by_one(
    tokenizer_of: Callable[[str], Tokenizer],
) -> None:
    """Though one computation with its padding would be another."""
    codec = tokenizer_of("mimi").codec
    long = torch.from_numpy(sound(24_000)[:8_000])
    waveforms = torch.stack([long, torch.cat([long[:4_000], torch.zeros(4_000)])])[:, None]
    codes = codec.encode(waveforms, torch.tensor([8_000, 4_000]), num_codebooks=3)
    assert codes.shape == (2, 3, 5)
    assert torch.equal(codes[:1], codec.encode(waveforms[:1], num_codebooks=3))
    assert torch.equal(codes[1:, :, :3], codec.encode(waveforms[1:, :, :4_000], num_codebooks=3))
    decoded = codec.decode(codes, torch.tensor([5, 3]))
    assert decoded.shape == (2, 1, 5 * 1920)
    assert torch.equal(decoded[1:, :, : 3 * 1920], codec.decode(codes[1:, :, :3]))


@pytest.mark.parametrize(
    ("kind", "most"), [("encodec", 32), ("dac", 12), ("mimi", 32), ("x-codec", 8)]
)
def test_fewer_levels_are_the_first_rows(
    kind: str, most: int, tokenizer_of: Callable[[str], Tokenizer]
) -> None:
    tokenizer = tokenizer_of(kind)
    waveform = sound(tokenizer.sample_rate)[:6_400]
    tokens = tokenizer.encode(waveform)
    assert tokens.num_codebooks == most
    for levels in (1, 3, most):
        fewer = tokenizer.encode(waveform, num_codebooks=levels)
        assert fewer == tokens.first(levels)
        assert tokenizer.decode(fewer).shape == (1, 6_400)
    for levels in (0, most + 1):
        with pytest.raises(TokensError, match=f"{levels} levels asked for, the model has 1 to"):
            tokenizer.encode(waveform, num_codebooks=levels)


def test_snac_takes_all_levels(tokenizer_of: Callable[[str], Tokenizer]) -> None:
    tokenizer = tokenizer_of("snac")
    waveform = sound(tokenizer.sample_rate)[:6_400]
    tokens = tokenizer.encode(waveform, num_codebooks=7)
    with pytest.raises(
        TokensError, match="3 levels asked for, the model takes 7, no more and no less"
    ):
        tokenizer.encode(waveform, num_codebooks=3)
    with pytest.raises(
        TokensError, match="3 levels asked for, the model takes 7, no more and no less"
    ):
        tokenizer.decode(tokens.first(3))
    assert describe_model(tokenizer)["bitrates"] == [984.375]


def test_the_fingerprint_is_of_the_files(peer_folder: Folders, tmp_path: Path) -> None:
    folder = shutil.copytree(peer_folder("dac"), tmp_path / "dac")
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("config.json", "model.safetensors")
    ]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
    assert fingerprint_of(find_files(str(folder))) == expected
    (folder / "README.md").write_text("no part of the model")
    assert vqaudio.load(f"hf:{folder}", device="cpu").fingerprint == expected
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "sampling_rate": 22_050}))
    assert fingerprint_of(find_files(str(folder))) != expected


def test_tokens_of_another_codec_are_refused(tokenizer_of: Callable[[str], Tokenizer]) -> None:
    encodec, dac, own = tokenizer_of("encodec"), tokenizer_of("dac"), vqaudio.load(device="cpu")
    tokens = encodec.encode(sound(24_000)[:4_000])
    for other in (dac, own):
        with pytest.raises(TokensError, match=f"made by model {encodec.fingerprint}"):
            other.decode(tokens)
    with pytest.raises(TokensError, match=f"made by model {own.fingerprint}"):
        encodec.decode(own.encode(sound(16_000)[:4_000]))


def test_what_is_no_codec_is_one_sentence(
    peer_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingError, match=r"there is no folder \./nothing: give one, or the name"):
        vqaudio.load("hf:./nothing")
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(MissingError, match=r"lacks config\.json: give a folder with config\.json$"):
        vqaudio.load(f"hf:{folder}")
    for text, came in (
        ("{", "has no config.json that can be read"),
        ("[]", "is no configuration: known are encodec, dac, mimi, xcodec and SNAC"),
        ("{}", "is of no type"),
        ('{"model_type": "llama"}', "is of type llama: known are"),
        ('{"model_type": []}', r"is of type \[\]: known are"),
    ):
        (folder / "config.json").write_text(text)
        with pytest.raises(ModelError, match=came):
            vqaudio.load(f"hf:{folder}")
    for kind, weights in (("dac", "model.safetensors"), ("snac", "pytorch_model.bin")):
        shutil.copy(peer_folder(kind) / "config.json", folder)
        with pytest.raises(MissingError, match=f"lacks {weights}: give a folder with config.json"):
            vqaudio.load(f"hf:{folder}")
        (folder / weights).write_bytes((peer_folder(kind) / weights).read_bytes()[:5_000])
        with pytest.raises(ModelError, match=r"holds no (DacModel|SNAC): "):
            vqaudio.load(f"hf:{folder}")
    with pytest.raises(ModelError, match="is a codec of others: give a model of vqaudio"):
        find_model(f"hf:{folder}")


def test_encodec_for_stereo_is_refused(tmp_path: Path) -> None:
    config = transformers.EncodecConfig(
        num_filters=4, hidden_size=32, codebook_dim=32, normalize=True, target_bandwidths=[24.0]
    )
    transformers.EncodecModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is no EnCodec for mono sound in one piece"):
        vqaudio.load(f"hf:{tmp_path}")


def test_without_the_hub_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingError, match=r"pip install 'vqaudio\[hub\]'"):
        vqaudio.load("hf:kyutai/mimi")


def test_the_command_line_takes_them(peer_folder: Folders, tmp_path: Path) -> None:
    model = f"hf:{peer_folder('dac')}"
    speak(tmp_path / "data" / "in.wav")
    shutil.copy(tmp_path / "data" / "in.wav", tmp_path)
    done("tokenize", tmp_path / "in.wav", "--model", model, "--levels", 4)
    tokens = Tokens.load(tmp_path / "in.npz")
    assert tokens.codes.shape == (4, 25)
    done("detokenize", tmp_path / "in.npz", "--model", model, "--out", tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").frames == 8_000
    facts = json.loads(done("describe", model, "--json").out)
    assert facts["fingerprint"] == tokens.model
    assert facts["family"] == "DAC"
    assert facts["frame_rate"] == 50
    assert len(facts["bitrates"]) == 12
    assert facts["training"] == {"source": str(peer_folder("dac"))}
    assert "frame rate         50 frames/s" in done("describe", model).lines
    done("count", tmp_path / "data", tmp_path / "table.npz", "--model", model)
    done(
        "demo", tmp_path / "in.wav", "--model", f"hf:{peer_folder('snac')}", "--out", tmp_path / "x"
    )
    assert "made by model" in refused("demo", "--model", model, "--out", tmp_path / "demo")
    usage = json.loads(done("usage", model, tmp_path / "data", "--json").out)
    assert len(usage["levels"]) == 12


def test_an_export_is_what_the_tokenizer_says(
    peer_folder: Folders, tokenizer_of: Callable[[str], Tokenizer], tmp_path: Path
) -> None:
    speak(tmp_path / "data" / "a.wav")
    speak(tmp_path / "data" / "b.wav", speaker=1, seconds=0.3)
    order = Order(
        data=str(tmp_path / "data"),
        out=str(tmp_path / "out"),
        model=f"hf:{peer_folder('snac')}",
        device="cpu",
    )
    export(order)
    tokenizer = tokenizer_of("snac")
    rows = [row.tokens for row in vqaudio_rows(tmp_path / "out")]
    assert rows == [tokenizer.encode_file(tmp_path / "data" / f"{name}.wav") for name in "ab"]
    with pytest.raises(TokensError, match="takes 7, no more and no less"):
        export(order._replace(out=str(tmp_path / "few"), levels=2))


def vqaudio_rows(folder: Path) -> Any:
    from vqaudio.export import read_rows

    return read_rows(folder)


def test_an_evaluation_takes_them_as_model_and_as_system(
    peer_folder: Folders, tmp_path: Path
) -> None:
    from vqaudio.evaluate import Question, evaluate

    speak(tmp_path / "data" / "a.wav", seconds=1.0)
    snac_name, dac_name = f"hf:{peer_folder('snac')}", f"hf:{peer_folder('dac')}"
    question = Question(
        data=tmp_path / "data",
        model=snac_name,
        systems=(f"{dac_name}@2000",),
        metrics=("mel_distance",),
        device="cpu",
    )
    found = evaluate(question)
    assert found.sample_rate == 24_000
    assert found.model["fingerprint"] == vqaudio.load(snac_name).fingerprint
    own, other = found.systems
    assert (own.name, own.family) == (f"{snac_name}@984.375", str(peer_folder("snac")))
    assert other.family == str(peer_folder("dac"))
    assert other.bitrate == pytest.approx(2000)
    assert all(row.metrics for row in found.systems)
