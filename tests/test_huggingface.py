"""Codes in text tokenizers of transformers: names are tokens, text stays what it was."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from text_tokenizers import BASES, TEXT, byte_level, save, word_level

from vqaudio.errors import TokensError, VqaudioError
from vqaudio.huggingface import find_offset, text_tokenizer, train_bpe
from vqaudio.patterns import Vocabulary

transformers = pytest.importorskip("transformers", reason="needs vqaudio[hf]")

VOCABULARY = Vocabulary((12, 5))
NAMES = VOCABULARY.names()

relaxed = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module", params=BASES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A text tokenizer, and the same with sound after it went through a folder."""
    folder = save(request.param, tmp_path_factory.mktemp("text"))
    base = transformers.AutoTokenizer.from_pretrained(folder)
    text_tokenizer(folder, VOCABULARY).save_pretrained(folder.with_name("sound"))
    return base, transformers.AutoTokenizer.from_pretrained(folder.with_name("sound"))


def test_sound_is_one_block_after_the_text(pair: Any) -> None:
    base, tokenizer = pair
    offset = find_offset(tokenizer, VOCABULARY)
    assert offset == len(base)
    assert len(tokenizer) == len(base) + VOCABULARY.size
    assert tokenizer.convert_tokens_to_ids(NAMES) == list(range(offset, len(tokenizer)))


def test_text_has_the_ids_that_it_had(pair: Any) -> None:
    base, tokenizer = pair
    for text in [*TEXT, "", " two  spaces \n", "<a0_99> <a0_1 > < a0>", "é 字 �"]:
        assert tokenizer(text)["input_ids"] == base(text)["input_ids"]
        ids = base(text)["input_ids"]
        assert tokenizer.decode(ids) == base.decode(ids)


@relaxed
@given(
    parts=st.lists(
        st.one_of(
            st.sampled_from(NAMES),
            st.sampled_from(["the", " fox", "1", "<", ">", "_", " ", "a0", "</", "\n"]),
        ),
        max_size=30,
    )
)
def test_no_name_is_split_or_merged_with_its_neighbours(pair: Any, parts: list[str]) -> None:
    tokenizer = pair[1]
    offset = find_offset(tokenizer, VOCABULARY)
    text = "".join(parts)
    ids = tokenizer(text)["input_ids"]
    found = [NAMES[id - offset] for id in ids if id >= offset]
    assert found == re.findall("|".join(map(re.escape, NAMES)), text)


def test_sound_is_not_skipped_with_special_tokens_but_its_padding_is(pair: Any) -> None:
    tokenizer = pair[1]
    ids = tokenizer("<audio><a0_3></audio><audio_pad>", add_special_tokens=False)["input_ids"]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert text.replace(" ", "") == "<audio><a0_3></audio>"


def test_all_names_of_the_bundled_model_are_added_in_no_time() -> None:
    vocabulary = Vocabulary((1024,) * 8)
    started = time.perf_counter()
    tokenizer = text_tokenizer(byte_level(), vocabulary)
    assert time.perf_counter() - started < 5
    assert tokenizer("".join(vocabulary.names()))["input_ids"] == list(
        range(300, 300 + vocabulary.size)
    )


def test_a_base_without_padding_gets_that_of_the_audio_and_another_keeps_its_own() -> None:
    assert text_tokenizer(byte_level(), VOCABULARY).pad_token == "<audio_pad>"
    assert text_tokenizer(word_level(), VOCABULARY).pad_token == "[PAD]"


def test_the_base_that_was_given_stays_as_it_is() -> None:
    base = byte_level()
    text_tokenizer(base, VOCABULARY)
    assert len(base) == 300
    assert base.pad_token is None


def test_without_a_base_ids_are_those_of_the_vocabulary(tmp_path: Path) -> None:
    text_tokenizer(None, VOCABULARY).save_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert find_offset(tokenizer, VOCABULARY) == 0
    assert tokenizer("".join(NAMES))["input_ids"] == list(range(VOCABULARY.size))
    assert tokenizer(" ".join(NAMES))["input_ids"] == list(range(VOCABULARY.size))
    assert tokenizer.decode(range(VOCABULARY.size)) == "".join(NAMES)
    assert tokenizer.special_tokens_map == {
        "bos_token": "<audio>",
        "eos_token": "</audio>",
        "pad_token": "<audio_pad>",
    }


def test_what_is_loaded_needs_no_vqaudio(tmp_path: Path) -> None:
    text_tokenizer(byte_level(), VOCABULARY).save_pretrained(tmp_path)
    code = (
        "import sys; sys.modules['vqaudio'] = None\n"
        "from tokenizers import Tokenizer\n"
        f"print(Tokenizer.from_file({str(tmp_path / 'tokenizer.json')!r}).encode('a<a0_3>').ids)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(f"{300 + NAMES.index('<a0_3>')}]")


def test_names_that_are_there_already_are_noticed() -> None:
    twice = text_tokenizer(byte_level(), VOCABULARY)
    with pytest.raises(TokensError, match="has 22 tokens of that name already, the first is <audi"):
        text_tokenizer(twice, VOCABULARY)
    base = byte_level()
    base.add_tokens(["<a1_4>"])
    with pytest.raises(TokensError, match="has 1 tokens of that name already, the first is <a1_4>"):
        text_tokenizer(base, VOCABULARY)


def test_gaps_in_the_ids_of_a_base_are_noticed() -> None:
    from tokenizers import Tokenizer, models

    model = models.WordLevel({"<unk>": 0, "a": 1, "b": 7}, unk_token="<unk>")
    base = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model))
    with pytest.raises(TokensError, match="3 tokens and ids up to 7, with gaps"):
        text_tokenizer(base, VOCABULARY)


def test_a_tokenizer_for_other_codebooks_is_refused() -> None:
    tokenizer = text_tokenizer(None, VOCABULARY)
    for sizes, fault in {
        (12,): "has <a1> as well",
        (12, 4): "has <a1_4> as well",
        (11, 5): "has <a0_11> as well",
        (12, 6): "lacks <a1_5>: it was not made for codebooks of 12 [+] 6 codes",
        (12, 5, 5): "lacks <a2>",
    }.items():
        with pytest.raises(TokensError, match=fault):
            find_offset(tokenizer, Vocabulary(sizes))
    shuffled = byte_level()
    shuffled.add_tokens(NAMES[::-1])
    with pytest.raises(TokensError, match="another order"):
        find_offset(shuffled, VOCABULARY)
    with pytest.raises(TokensError, match="lacks <audio_pad>"):
        find_offset(byte_level(), VOCABULARY)


def test_a_base_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TokensError, match=f"there is no text tokenizer at {tmp_path}: "):
        text_tokenizer(tmp_path, VOCABULARY)
    with pytest.raises(TokensError, match="object is no fast tokenizer"):
        text_tokenizer(object(), VOCABULARY)


def test_an_absent_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(VqaudioError, match=r"needs transformers.*: pip install 'vqaudio\[hf\]'"):
        text_tokenizer(None, VOCABULARY)
    with pytest.raises(VqaudioError, match=r"needs tokenizers.*: pip install 'vqaudio\[hf\]'"):
        train_bpe([np.zeros((1, 3), np.uint16)], (4,), 8)
