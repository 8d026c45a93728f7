"""Text with sounds in it to ids and back, whatever a language model makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from text_tokenizers import BASES, byte_level, save

import vqaudio
from vqaudio import Tokenizer, Tokens, TokensError
from vqaudio.checkpoint import Model
from vqaudio.codec import Codec, CodecConfig, FramesConfig, QuantizerConfig
from vqaudio.huggingface import PLACEHOLDER, AudioTextProcessor, Layout, text_tokenizer
from vqaudio.huggingface.layout import FILE

transformers = pytest.importorskip("transformers", reason="needs vqaudio[hf]")

HOP = 32
SIZES = (16, 16, 16)
PATTERNS = ("flatten", "coarse-first")

relaxed = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def audio_tokenizer() -> Tokenizer:
    """A small model with random weights."""
    torch.manual_seed(1)
    backbone = FramesConfig(
        hop_length=HOP, window_length=4 * HOP, width=16, encoder_blocks=2, decoder_blocks=2
    )
    quantizer = QuantizerConfig(num_codebooks=3, codebook_size=16, dim=8)
    codec = Codec(CodecConfig(sample_rate=1600, backbone=backbone, quantizer=quantizer))
    for book in codec.quantizer.books:
        book.place(torch.randn(16, 8))
    return Tokenizer(Model(codec, "0123456789abcdef", {}), device=torch.device("cpu"))


@pytest.fixture(scope="module", params=[(base, p) for base in BASES for p in PATTERNS])
def processor(
    request: pytest.FixtureRequest, audio_tokenizer: Tokenizer, tmp_path_factory: Any
) -> AudioTextProcessor:
    base, pattern = request.param
    folder = save(base, tmp_path_factory.mktemp("text"))
    return AudioTextProcessor.build(folder, audio_tokenizer, pattern=pattern)


@pytest.fixture(scope="module", params=PATTERNS)
def english(request: pytest.FixtureRequest, audio_tokenizer: Tokenizer) -> AudioTextProcessor:
    return AudioTextProcessor.build(byte_level(), audio_tokenizer, pattern=request.param)


def some_tokens(num_frames: int, seed: int = 0) -> Tokens:
    codes = np.random.default_rng(seed).integers(0, 16, (3, num_frames)).astype(np.uint16)
    return Layout("0123456789abcdef", SIZES, 1600, HOP).tokens(codes)


def sound(num_samples: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(num_samples).astype(np.float32)


def ids_of(processor: AudioTextProcessor, text: str, *sounds: Tokens) -> list[int]:
    ids: list[int] = processor(text, list(sounds))["input_ids"][0].tolist()
    return ids


WORDS = st.lists(
    st.sampled_from(["it", "says", "hello", ",", "world", "!", "1", PLACEHOLDER]), max_size=9
).filter(bool)


@relaxed
@given(WORDS, st.integers(0, 99))
def test_text_and_sounds_come_back(
    processor: AudioTextProcessor, words: list[str], seed: int
) -> None:
    text = " ".join(words)
    sounds = [some_tokens(1 + seed % 7 + n, seed + n) for n in range(words.count(PLACEHOLDER))]
    decoded = processor.decode(processor(text, sounds)["input_ids"][0])
    assert decoded.tokens == sounds
    assert decoded.num_dropped == 0
    if processor.tokenizer.unk_token == "[UNK]":  # of whole words: it keeps no spaces around signs
        assert decoded.text.replace(" ", "") == text.replace(" ", "")
    else:
        assert decoded.text == text


@pytest.mark.parametrize("text", ["<|audio|>", " a <|audio|>  b ", "<|audio|><|audio|>\n", "a"])
def test_spaces_beside_a_sound_are_kept(english: AudioTextProcessor, text: str) -> None:
    sounds = [some_tokens(3, seed) for seed in range(text.count(PLACEHOLDER))]
    decoded = english.decode(ids_of(english, text, *sounds))
    assert decoded.text == text
    assert decoded.tokens == sounds


def test_the_ids_are_those_of_the_pattern(english: AudioTextProcessor) -> None:
    tokens = some_tokens(2)
    names = english.tokenizer.convert_ids_to_tokens(ids_of(english, "<|audio|>", tokens))
    code = [[f"<a{level}_{code}>" for code in row] for level, row in enumerate(tokens.codes)]
    if english.layout.pattern == "flatten":
        body = [row[frame] for frame in range(2) for row in code]
    else:
        body = [name for level in range(3) for name in (f"<a{level}>", *code[level])]
    assert names == ["<audio>", *body, "</audio>"]


def test_batches_are_padded_and_come_back(english: AudioTextProcessor) -> None:
    texts = ["it says <|audio|>", "<|audio|> and <|audio|>, hello", "hello"]
    sounds = [some_tokens(3), some_tokens(9, 1), some_tokens(1, 2)]
    for side in ("left", "right"):
        batch = english(texts, sounds, padding_side=side)
        assert set(batch) == {"input_ids", "attention_mask"}
        ids, mask = batch["input_ids"], batch["attention_mask"]
        assert ids.shape == mask.shape == (3, int(mask.sum(1).max()))
        assert ids.dtype == torch.int64
        assert (ids[mask == 0] == english.tokenizer.pad_token_id).all()
        decoded = english.batch_decode(ids)
        assert [found.text for found in decoded] == texts
        assert [one for found in decoded for one in found.tokens] == sounds


def test_sounds_come_as_tokens_files_and_waveforms(
    english: AudioTextProcessor, audio_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    waveform = sound(20 * HOP)
    soundfile.write(tmp_path / "a.wav", waveform, 1600, subtype="FLOAT")
    tokens = audio_tokenizer.encode(waveform)
    tokens.save(tmp_path / "a.npz")
    kinds = [tokens, tmp_path / "a.wav", str(tmp_path / "a.npz"), waveform, torch.tensor(waveform)]
    batch = english(audio=kinds)["input_ids"]
    assert len(batch) == 5
    assert (batch == batch[0]).all()
    alone = english(audio=waveform, sample_rate=1600)["input_ids"]
    assert torch.equal(alone, batch[:1])
    found = english.decode(alone[0]).tokens[0]
    torch.testing.assert_close(english.waveform(found), audio_tokenizer.decode(tokens))


@relaxed
@given(st.data())
def test_a_generation_that_was_cut_gives_what_is_whole(
    english: AudioTextProcessor, data: st.DataObject
) -> None:
    tokens = some_tokens(data.draw(st.integers(1, 5)))
    ids = ids_of(english, "it says <|audio|>", tokens)
    begin = ids.index(english.offset + 1)
    length = data.draw(st.integers(begin + 1, len(ids)))
    decoded = english.decode(ids[:length])
    assert decoded.parts[0] == "it says "
    written = ids[begin + 1 : min(length, len(ids) - 1)]
    found = decoded.tokens[0].codes if decoded.tokens else np.zeros((0, 0))
    np.testing.assert_array_equal(found, tokens.codes[: found.shape[0], : found.shape[1]])
    if english.layout.pattern == "flatten":
        assert found.shape[1] == len(written) // 3
        assert decoded.num_dropped == len(written) % 3
    else:
        marks = len(found)
        assert found.size + marks + decoded.num_dropped == len(written)
        if len(written) == 3 * (tokens.num_frames + 1):
            assert found.shape == tokens.codes.shape
        elif len(written) > 1 + tokens.num_frames:
            assert found.shape == (len(written) // (1 + tokens.num_frames), tokens.num_frames)
        elif len(written) > 1:
            assert found.shape == (1, len(written) - 1)
    padded = [*ids[:length], *[english.tokenizer.pad_token_id] * 4]
    assert english.decode(padded) == decoded


def test_an_answer_without_its_begin_or_its_end_is_a_sound(english: AudioTextProcessor) -> None:
    tokens = some_tokens(4)
    ids = ids_of(english, "<|audio|>", tokens)
    hello = english.tokenizer("hello")["input_ids"]
    for some in (ids[1:], ids[:-1], ids[1:-1], ids):
        assert english.decode(some).tokens == [tokens]
        decoded = english.decode([*hello, *some, *hello])
        assert decoded.parts == ["hello", tokens, "hello"]
    assert english.decode(ids[:-1] + ids).tokens == [tokens, tokens]
    assert english.decode([ids[0], ids[-1]]).parts == []
    assert english.decode([]).parts == []


@relaxed
@given(st.data())
def test_whatever_a_model_writes_is_an_error_or_is_left_out(
    english: AudioTextProcessor, data: st.DataObject
) -> None:
    beyond = len(english.tokenizer) + 3
    some = st.integers(0, beyond) | st.integers(english.offset, english.offset + 12)
    ids = data.draw(st.lists(some, max_size=12))
    ids += ids_of(english, "<|audio|>", some_tokens(3))
    ids[data.draw(st.integers(0, len(ids) - 1))] = data.draw(some)
    lenient = english.decode(ids, errors="skip")
    try:
        strict = english.decode(ids)
    except TokensError:
        assert lenient.num_dropped > 0
    else:
        assert strict == lenient
    for tokens in lenient.tokens:
        assert english.waveform(tokens).shape == (1, HOP * tokens.num_frames)


def test_an_id_of_a_wrong_level_is_named_with_its_place(audio_tokenizer: Tokenizer) -> None:
    processor = AudioTextProcessor.build(byte_level(), audio_tokenizer)
    tokens = some_tokens(3)
    ids = ids_of(processor, "<|audio|>", tokens)
    swapped = [*ids[:4], ids[5], ids[4], *ids[6:]]
    name = processor.tokenizer.convert_ids_to_tokens(ids[5])
    with pytest.raises(TokensError, match=f"{name} stands at place 4 .* a code <a0_...> was due"):
        processor.decode(swapped)
    decoded = processor.decode(swapped, errors="skip")
    assert decoded.num_dropped == 3
    np.testing.assert_array_equal(decoded.tokens[0].codes, tokens.codes[:, [0, 2]])
    with pytest.raises(TokensError, match="ends at place 3 of the ids, in the middle of a frame"):
        processor.decode([*ids[:3], ids[-1]])
    with pytest.raises(TokensError, match=f"id {len(processor.tokenizer)} is beyond the"):
        processor.decode([len(processor.tokenizer)])


def test_a_level_out_of_place_ends_a_coarse_first_sound(audio_tokenizer: Tokenizer) -> None:
    processor = AudioTextProcessor.build(byte_level(), audio_tokenizer, pattern="coarse-first")
    tokens = some_tokens(3)
    ids = ids_of(processor, "<|audio|>", tokens)  # begin, then a0 and 3, a1 and 3, a2 and 3, end
    longer = [*ids[:9], ids[8], *ids[9:]]
    with pytest.raises(TokensError, match="stands at place 9 of the ids, where the mark <a2> was"):
        processor.decode(longer)
    assert processor.decode(longer, errors="skip").tokens == [tokens.first(2)]
    with pytest.raises(TokensError, match="place 13 of the ids, where the end was due"):
        processor.decode([*ids[:13], ids[12], ids[13]])
    with pytest.raises(TokensError, match="ends at place 7 of the ids, in the middle of <a1>"):
        processor.decode([*ids[:7], ids[-1]])
    with pytest.raises(TokensError, match="where the mark <a0> was due"):
        processor.decode(ids[2:])


def test_a_sound_may_be_left_open_to_be_continued(english: AudioTextProcessor) -> None:
    tokens = some_tokens(3)
    texts = ["hello <|audio|>", "<|audio|> hello"]
    closed = english(texts, [tokens, tokens], padding=False, return_tensors=None)["input_ids"]
    opened = english(
        texts, [tokens, tokens], to_be_continued=True, padding=False, return_tensors=None
    )["input_ids"]
    assert opened == [closed[0][:-1], closed[1]]


def test_a_folder_brings_it_back(
    english: AudioTextProcessor, audio_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    english.save_pretrained(tmp_path)
    tokens = some_tokens(5)
    ids = ids_of(english, "hello <|audio|>", tokens)
    again = AudioTextProcessor.from_pretrained(tmp_path, audio_tokenizer=audio_tokenizer)
    assert again.layout == english.layout
    assert ids_of(again, "hello <|audio|>", tokens) == ids
    assert again.waveform(tokens).shape == (1, 5 * HOP)
    without = AudioTextProcessor.from_pretrained(tmp_path)
    assert without.decode(ids).tokens == [tokens]
    with pytest.raises(TokensError, match="no model to turn sound into codes and back"):
        without.waveform(tokens)
    with pytest.raises(TokensError, match="no model to turn sound into codes and back"):
        without(audio=sound(100))
    with pytest.raises(TokensError, match="codes of model 0123456789abcdef, this is model"):
        AudioTextProcessor.from_pretrained(tmp_path, audio_tokenizer="speech-16k")
    plain = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert plain("hello <audio>")["input_ids"] == english.tokenizer("hello <audio>")["input_ids"]
    facts = json.loads((tmp_path / FILE).read_text())
    assert facts["offset"] == english.offset
    assert facts["vocabulary"]["size"] == english.layout.vocabulary.size


def test_the_bundled_model_is_found_by_its_fingerprint(tmp_path: Path) -> None:
    tokenizer = vqaudio.load(device="cpu")
    AudioTextProcessor.build(None, tokenizer, num_codebooks=2).save_pretrained(tmp_path)
    processor = AudioTextProcessor.from_pretrained(tmp_path)
    batch = processor(audio=[sound(16_000), sound(8_000)], sample_rate=16_000)
    assert batch["input_ids"].shape == (2, 102)
    first, second = processor.batch_decode(batch["input_ids"])
    assert processor.waveform(first.tokens[0]).shape == (1, 16_000)
    expected = tokenizer.encode(sound(8_000), num_codebooks=2)
    np.testing.assert_array_equal(second.tokens[0].codes, expected.codes)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot read .*vqaudio.json: No such file"),
        ("{", "is damaged, or something else"),
        ("[]", "is damaged, or something else"),
        ('{"format_version": 9}', "has format 9, this vqaudio reads 1"),
        ('{"format_version": 1, "model": "x"}', "does not describe a pattern: 'codebook_sizes'"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    tmp_path: Path, content: str | None, fault: str
) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(TokensError, match=fault):
        AudioTextProcessor.from_pretrained(tmp_path)


def test_wrong_arguments_are_named(english: AudioTextProcessor, audio_tokenizer: Tokenizer) -> None:
    tokens = some_tokens(2)
    with pytest.raises(TokensError, match=r"1 times <\|audio\|> in the text, but 2 sounds"):
        english("<|audio|>", [tokens, tokens])
    with pytest.raises(TokensError, match="neither text nor sound came"):
        english()
    with pytest.raises(TokensError, match="the tokens have 2 levels, 3 are needed"):
        english(audio=tokens.first(2))
    with pytest.raises(TokensError, match="made by model other"):
        english(audio=Layout("other", SIZES, 1600, HOP).tokens(tokens.codes))
    with pytest.raises(TokensError, match=r"ids of shape \[1, 2\]"):
        english.decode([[1, 2]])
    with pytest.raises(
        TokensError, match=r"delay has a row for each level.*flatten or coarse-first"
    ):
        AudioTextProcessor.build(None, audio_tokenizer, pattern="delay")
    with pytest.raises(TokensError, match="4 levels asked for, the model has 1 to 3"):
        AudioTextProcessor.build(None, audio_tokenizer, num_codebooks=4)
    bare = AudioTextProcessor.build(None, audio_tokenizer)
    assert bare("<|audio|> <a0_1>", tokens)["input_ids"].shape == (1, 9)
    with pytest.raises(TokensError, match="knows nothing but sound"):
        bare("hello <|audio|>", tokens)
    with pytest.raises(TokensError, match="lacks <audio_pad>"):
        AudioTextProcessor(byte_level(), english.layout)


def test_fewer_levels_are_the_first(audio_tokenizer: Tokenizer) -> None:
    processor = AudioTextProcessor.build(byte_level(), audio_tokenizer, num_codebooks=1)
    tokens = some_tokens(4)
    assert processor.decode(ids_of(processor, "<|audio|>", tokens)).tokens == [tokens.first(1)]


def test_a_llama_writes_sound(audio_tokenizer: Tokenizer) -> None:
    """A model of text is given sound, learns one by heart, and says it."""
    try:
        llama = transformers.LlamaForCausalLM
    except (ImportError, RuntimeError) as error:  # a torchaudio of another CUDA than torch's
        pytest.skip(f"transformers has no Llama beside torch {torch.__version__}: {error}")
    processor = AudioTextProcessor.build(byte_level(), audio_tokenizer)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    model = llama(config)
    model.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    tokens = some_tokens(4)
    batch = processor("say it: <|audio|>", tokens)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(30):
        loss = model(**batch, labels=batch["input_ids"]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    prompt = processor("say it: <audio>")
    written = model.eval().generate(
        **prompt,
        max_new_tokens=20,
        do_sample=False,
        eos_token_id=processor.tokenizer.convert_tokens_to_ids("</audio>"),
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    decoded = processor.decode(written[0])
    assert decoded.text == "say it: <|audio|>"
    assert decoded.tokens == [tokens]
    assert processor.waveform(decoded.tokens[0]).shape == (1, 4 * HOP)


def test_a_text_tokenizer_alone_makes_a_processor() -> None:
    layout = Layout("0123456789abcdef", SIZES, 1600, HOP)
    tokenizer = text_tokenizer(byte_level(), layout.vocabulary)
    processor = AudioTextProcessor(tokenizer, layout)
    tokens = some_tokens(2)
    assert processor.decode(ids_of(processor, "<|audio|>", tokens)).tokens == [tokens]
