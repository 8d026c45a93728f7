"""Word errors, and recognisers: found by name, the same text every time."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sounds import SAMPLE_RATE, babble

from vqaudio.errors import AudioError, ModelError, VqaudioError
from vqaudio.metrics import WordErrors, find_recognizer, word_errors
from vqaudio.metrics.words import normalize

SPEECH = babble(0, 0, seconds=1.0)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "words"),
    [
        ("The cat sat.", "the CAT, sat", 0, 3),
        ("the cat sat", "the cat", 1, 3),
        ("the cat sat", "the black cat sat down", 2, 3),
        ("the cat sat", "a cat sat", 1, 3),
        ("the cat sat", "", 3, 3),
        ("", "two words", 2, 0),
        ("--", "", 0, 0),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t", "don't", 0, 1),
    ],
)
def test_word_errors(reference: str, hypothesis: str, errors: int, words: int) -> None:
    pytest.importorskip("jiwer")
    assert word_errors(reference, hypothesis) == WordErrors(errors, words)


def test_normalisation_keeps_letters_of_other_alphabets() -> None:
    assert normalize("  Größe,\n«20» 'quoted' ÉTÉ ") == "größe 20 quoted été"


@pytest.mark.parametrize("spec", ["", "whisper", "hf", "hf:", "faster-whisper", "pocketsphinx:x"])
def test_there_is_no_such_recogniser(spec: str) -> None:
    with pytest.raises(VqaudioError, match="choose pocketsphinx, faster-whisper:NAME_OR_FOLDER"):
        find_recognizer(spec)


@pytest.mark.parametrize(
    ("spec", "module", "extra"),
    [
        ("pocketsphinx", "pocketsphinx", "eval"),
        ("faster-whisper:unheard", "faster_whisper", "asr"),
        ("hf:unheard", "transformers", "asr"),
    ],
)
def test_what_is_not_installed_is_named(
    spec: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    recognizer = find_recognizer(spec)
    assert recognizer.name == spec
    with pytest.raises(VqaudioError, match=rf"pip install 'vqaudio\[{extra}\]'"):
        recognizer.transcribe(SPEECH, SAMPLE_RATE)


@pytest.mark.slow
def test_pocketsphinx_hears_the_same_every_time() -> None:
    pytest.importorskip("pocketsphinx")
    recognizer = find_recognizer("pocketsphinx")
    text = recognizer.transcribe(SPEECH, SAMPLE_RATE)
    assert isinstance(text, str)
    recognizer.transcribe(SPEECH[::-1], SAMPLE_RATE)
    assert recognizer.transcribe(SPEECH, SAMPLE_RATE) == text
    for short in (SPEECH[:1], SPEECH[:160], 0 * SPEECH[:1600]):
        assert isinstance(recognizer.transcribe(short, SAMPLE_RATE), str)
    with pytest.raises(AudioError, match="not numbers"):
        recognizer.transcribe(np.full(100, np.nan), SAMPLE_RATE)


@pytest.fixture
def tiny_ctc(tmp_path: Path) -> Path:
    """A wav2vec 2.0 with random weights and seven letters, as the hub lays it out."""
    transformers = pytest.importorskip("transformers")
    import torch

    letters = ["<pad>", "<unk>", "|", "a", "b", "c", "d"]
    vocabulary = tmp_path / "vocab.json"
    vocabulary.write_text(str({letter: i for i, letter in enumerate(letters)}).replace("'", '"'))
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_kernel=(10, 3),
        conv_stride=(80, 2),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        pad_token_id=0,
    )
    folder = tmp_path / "model"
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    transformers.Wav2Vec2CTCTokenizer(
        str(vocabulary), pad_token="<pad>", unk_token="<unk>", bos_token=None, eos_token=None
    ).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of transformers, while the model is made
def test_a_folder_of_transformers(tiny_ctc: Path) -> None:
    recognizer = find_recognizer(f"hf:{tiny_ctc}")
    text = recognizer.transcribe(SPEECH, SAMPLE_RATE)
    assert text
    assert set(text) <= set("abcd <unk>")
    assert recognizer.transcribe(SPEECH, SAMPLE_RATE) == text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "module"), [("hf", "transformers"), ("faster-whisper", "faster_whisper")]
)
def test_a_folder_without_a_model_is_one_sentence(kind: str, module: str, tmp_path: Path) -> None:
    pytest.importorskip(module)
    with pytest.raises(ModelError, match="cannot load the recogniser"):
        find_recognizer(f"{kind}:{tmp_path}").transcribe(SPEECH, SAMPLE_RATE)
