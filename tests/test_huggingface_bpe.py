"""BPE of codes loses nothing, and makes what repeats itself shorter; the two commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shell import vqaudio as run
from text_tokenizers import save

import vqaudio
from vqaudio.cli.huggingface import TextPattern
from vqaudio.errors import TokensError
from vqaudio.huggingface import AudioBpe, AudioTextProcessor, Layout, train_bpe
from vqaudio.huggingface.bpe import MAX_CODES, WORD, _to_places, _to_text
from vqaudio.huggingface.layout import FILE
from vqaudio.huggingface.reading import READERS
from vqaudio.patterns import Vocabulary

tokenizers = pytest.importorskip("tokenizers", reason="needs vqaudio[hf]")

SIZES = (6, 4)
MODEL = "0123456789abcdef"


def phrases(num_frames: int, seed: int) -> NDArray[np.uint16]:
    """[2, T] codes in which a few sequences of three frames come again and again."""
    random = np.random.default_rng(seed)
    stock = np.random.default_rng(0).integers(0, np.array(SIZES)[:, None, None], (2, 5, 3))
    codes = stock[:, random.integers(0, 5, -(-num_frames // 3))].reshape(2, -1)[:, :num_frames]
    return codes.astype(np.uint16)


@pytest.fixture(scope="module")
def bpe() -> AudioBpe:
    return train_bpe((phrases(300, seed) for seed in range(5)), SIZES, 40, model=MODEL)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 2**32 - 1), st.booleans())
def test_codes_come_back(bpe: AudioBpe, num_frames: int, seed: int, alike: bool) -> None:
    random = np.random.default_rng(seed).integers(0, np.array(SIZES)[:, None], (2, num_frames))
    codes = phrases(num_frames, seed) if alike else random
    ids = bpe.encode(codes)
    assert ids.dtype == np.int32
    assert len(ids) <= codes.size
    assert ((ids >= 0) & (ids < bpe.vocab_size)).all()
    again = bpe.decode(ids)
    assert again.dtype == np.uint16
    np.testing.assert_array_equal(again, codes)


def test_what_repeats_itself_becomes_shorter(bpe: AudioBpe) -> None:
    assert bpe.vocab_size == 40
    unheard = [phrases(300, seed) for seed in range(90, 93)]
    assert bpe.compression(unheard) > 4
    assert bpe.compression([]) == 1
    noise = np.random.default_rng(1).integers(0, np.array(SIZES)[:, None], (2, 300))
    assert 1 <= bpe.compression([noise]) < 2


def test_single_codes_have_the_first_ids_and_merges_follow() -> None:
    codes = np.array([[5, 0, 1], [3, 1, 0]])
    bpe = train_bpe([codes], SIZES, 10)
    assert bpe.vocab_size == bpe.num_codes == 10
    assert bpe.encode(codes).tolist() == [5, 9, 0, 7, 1, 6]


def test_the_same_codes_make_the_same_merges(bpe: AudioBpe) -> None:
    again = train_bpe([phrases(300, seed) for seed in range(5)], SIZES, 40)
    assert again.tokenizer.to_str() == bpe.tokenizer.to_str()


@pytest.mark.parametrize("sizes", [(1024,) * 8, (65536,), (65536, 65532), (1, 2, 3)])
def test_all_codes_have_a_character(sizes: tuple[int, ...]) -> None:
    rows = [np.arange(max(sizes)) % size for size in sizes]
    text = _to_text(rows, sizes)
    assert len(text) == len(sizes) * max(sizes)
    assert text.encode("utf-8").decode("utf-8") == text  # a surrogate could not be encoded
    assert not any(ord(character) & 0xFFFE == 0xFFFE for character in text)
    firsts = np.cumsum([0, *sizes[:-1]])
    expected = (np.stack(rows) + firsts[:, None]).T.reshape(-1)
    np.testing.assert_array_equal(_to_places(text), expected)


def test_the_codes_of_the_bundled_model_fit() -> None:
    sizes = (1024,) * 8
    codes = np.random.default_rng(0).integers(0, 1024, (8, 1024)).astype(np.uint16)
    codes[:] = np.arange(1024)  # each code of each level
    bpe = train_bpe([codes, codes[:, ::-1]], sizes, 8300)
    np.testing.assert_array_equal(bpe.decode(bpe.encode(codes)), codes)


def test_a_sequence_longer_than_a_word_is_encoded_as_one(bpe: AudioBpe) -> None:
    codes = np.tile(phrases(3, 0), WORD)
    np.testing.assert_array_equal(bpe.decode(bpe.encode(codes)), codes)
    assert bpe.compression([codes]) > 4


@settings(deadline=None)
@given(st.data())
def test_what_was_cut_is_refused_or_gives_whole_frames(bpe: AudioBpe, data: st.DataObject) -> None:
    codes = phrases(20, 3)
    ids = bpe.encode(codes)[: data.draw(st.integers(0, 30))]
    found = bpe.decode(ids, errors="skip")
    np.testing.assert_array_equal(found, codes[:, : found.shape[1]])
    if found.size == sum(map(len, (bpe._spelled[id] for id in ids))):
        np.testing.assert_array_equal(bpe.decode(ids), found)
    else:
        with pytest.raises(TokensError, match="in the middle of a frame"):
            bpe.decode(ids)


def test_saved_and_loaded_it_is_the_same(bpe: AudioBpe, tmp_path: Path) -> None:
    bpe.save(tmp_path)
    again = AudioBpe.load(tmp_path)
    assert repr(again) == repr(bpe) == f"AudioBpe(40 ids, codebooks 6+4, model {MODEL})"
    codes = phrases(50, 7)
    np.testing.assert_array_equal(again.encode(codes), bpe.encode(codes))
    np.testing.assert_array_equal(again.decode(bpe.encode(codes)), codes)
    plain = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert plain.encode(_to_text(codes, SIZES)).ids == bpe.encode(codes).tolist()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"codebook_sizes": [6, 40]}, "not of codebooks of 6 [+] 40 codes"),
        ({"codebook_sizes": "many"}, "holds no BPE of codes"),
        ({"format_version": 7}, "has format 7"),
    ],
)
def test_a_damaged_folder_is_refused(
    bpe: AudioBpe, tmp_path: Path, changes: dict[str, object], fault: str
) -> None:
    bpe.save(tmp_path)
    facts = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**facts, **changes}))
    with pytest.raises(TokensError, match=fault):
        AudioBpe.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokensError):
        AudioBpe.load(tmp_path)


def test_wrong_arguments_are_named(bpe: AudioBpe) -> None:
    with pytest.raises(TokensError, match="vocabulary of 9 is smaller than the 10 codes"):
        train_bpe([], SIZES, 9)
    with pytest.raises(TokensError, match=f"131072 codes are more than the {MAX_CODES}"):
        train_bpe([], (65536, 65536), 200_000)
    with pytest.raises(TokensError, match=r"codes from 0 to 4 do not fit codebooks of 6 \+ 4"):
        bpe.encode([[0, 1], [2, 4]])
    with pytest.raises(TokensError, match=r"shape \[1, 2\] do not fit 2 codebooks"):
        bpe.encode([[0, 1]])
    with pytest.raises(TokensError, match="id 40 came, there are 40"):
        bpe.decode([40])
    assert bpe.decode([40, -1], errors="skip").shape == (2, 0)
    with pytest.raises(TokensError, match=r"whole numbers \[L\]"):
        bpe.decode([[1.5]])


def save_tokens(folder: Path, count: int) -> None:
    layout = Layout(MODEL, SIZES, 1600, 32)
    for place in range(count):
        layout.tokens(phrases(200, place)).save(folder / f"{place:02}.npz")


def test_the_command_learns_merges(tmp_path: Path) -> None:
    save_tokens(tmp_path / "tokens", 20)
    done = run("bpe", tmp_path / "tokens", tmp_path / "merges", "--vocab-size", 30)
    assert done.code == 0, done.err
    assert "18 files -> " in done.lines[0]
    assert "30 ids for 10 codes; " in done.lines[0]
    assert done.lines[0].endswith("codes per id in 2 files not learned from")
    bpe = AudioBpe.load(tmp_path / "merges")
    assert bpe.model == MODEL
    again = run("bpe", tmp_path / "tokens", tmp_path / "merges", "--vocab-size", 30)
    assert again.code == 1
    assert "merges exists" in again.err
    one = run(
        *("bpe", tmp_path / "tokens" / "00.npz", tmp_path / "merges", "--vocab-size", 8),
        *("--levels", 1, "--force"),
    )
    assert one.lines[0].endswith("codes per id in 1 files learned from")
    assert AudioBpe.load(tmp_path / "merges").codebook_sizes == (6,)


def test_the_command_refuses_tokens_of_several_models(tmp_path: Path) -> None:
    save_tokens(tmp_path, 2)
    Layout("another", SIZES, 1600, 32).tokens(phrases(20, 0)).save(tmp_path / "z.npz")
    done = run("bpe", tmp_path, tmp_path / "merges", "--vocab-size", 30)
    assert done.code == 1
    assert "z.npz has 2 levels of model another" in done.err
    assert not (tmp_path / "merges").exists()


def test_the_command_adds_sound_to_a_text_tokenizer(tmp_path: Path) -> None:
    base = save("byte-level", tmp_path)
    done = run(
        *("text-tokenizer", tmp_path / "out", "--base", base),
        *("--levels", 2, "--pattern", "coarse-first"),
    )
    assert done.code == 0, done.err
    model = vqaudio.load(device="cpu").fingerprint
    assert done.lines == [
        f"{base} + 2053 tokens of model {model} -> {tmp_path / 'out'}: 2353 tokens, sound from "
        "id 300 on"
    ]
    processor = AudioTextProcessor.from_pretrained(tmp_path / "out")
    assert processor.layout.pattern == "coarse-first"
    assert processor.layout.vocabulary == Vocabulary((1024, 1024))
    assert processor.offset == 300
    again = run("text-tokenizer", tmp_path / "out")
    assert again.code == 1
    assert "out exists" in again.err
    assert run("text-tokenizer", tmp_path / "out", "--levels", 1, "--force").code == 0
    assert AudioTextProcessor.from_pretrained(tmp_path / "out").offset == 0
    wrong = run("text-tokenizer", tmp_path / "no", "--pattern", "delay")
    assert wrong.code == 2
    assert "flatten" in wrong.err
    assert {pattern.value for pattern in TextPattern} == set(READERS)
    absent = run("text-tokenizer", tmp_path / "no", "--base", tmp_path / "absent")
    assert absent.code == 1
    assert "there is no text tokenizer at" in absent.err
    assert not (tmp_path / "no").exists()


def test_a_command_without_the_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    done = run("text-tokenizer", tmp_path / "out")
    assert done.code == 1
    assert "pip install 'vqaudio[hf]'" in done.err
