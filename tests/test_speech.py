"""What a recipe trains on and validates on: several corpora, whole manifests, one speaker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from vqaudio.corpora import CORPORA, ljspeech, speechocean762
from vqaudio.errors import CorpusError, RecipeError
from vqaudio.recipe import Recipe, load_recipe
from vqaudio.train.speech import find_speech

TINY = Path(__file__).parent.parent / "recipes" / "tiny.yaml"


def write(path: Path, seconds: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(seconds * 8000)), 8000)
    return path


def recipe_with(*corpora: str) -> Recipe:
    return load_recipe(TINY, [f"data.corpora=[{', '.join(corpora)}]"])


def test_one_manifest_to_train_on_and_another_to_validate_on(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.wav")
    (tmp_path / "train.txt").write_text("a.wav\nb.wav\n")
    (tmp_path / "dev.txt").write_text("c.wav\n")
    speech = find_speech(
        recipe_with(
            f"{{name: manifest, root: {tmp_path}/train.txt, train: [all], validation: []}}",
            f"{{name: manifest, root: {tmp_path}/dev.txt, train: [], validation: [all]}}",
        )
    )
    assert [u.path.name for u in speech.train] == ["a.wav", "b.wav"]
    assert [u.path.name for u in speech.validation] == ["c.wav"]
    (tmp_path / "dev.txt").write_text("c.wav\nb.wav\n")
    with pytest.raises(CorpusError, match=r"manifest .*b\.wav is among both the training and the"):
        find_speech(
            recipe_with(
                f"{{name: manifest, root: {tmp_path}/train.txt, train: [all], validation: []}}",
                f"{{name: manifest, root: {tmp_path}/dev.txt, train: [], validation: [all]}}",
            )
        )


def test_a_corpus_of_no_split_is_refused() -> None:
    with pytest.raises(RecipeError, match="train and validation are both empty: name a split, or"):
        recipe_with("{name: folder, root: x, train: [], validation: []}")


def test_a_corpus_of_one_speaker_may_validate_on_that_speaker(tmp_path: Path) -> None:
    names = ("LJ001-0001", "LJ010-0001")
    for name in names:
        write(tmp_path / f"LJSpeech-1.1/wavs/{name}.wav")
    metadata = "".join(f"{name}|A|A\n" for name in names)
    (tmp_path / "LJSpeech-1.1/metadata.csv").write_text(metadata)
    speech = find_speech(recipe_with(f"{{name: ljspeech, root: {tmp_path}}}"))
    assert [u.speaker for u in (*speech.train, *speech.validation)] == 2 * ["ljspeech LJ"]
    for speaker in ("anna", "berta"):
        write(tmp_path / "mine" / speaker / "a.wav")
    both = f"{{name: folder, root: {tmp_path}/mine, train: [all], validation: [all]}}"
    with pytest.raises(CorpusError, match="folder anna is among both the training and the valida"):
        find_speech(recipe_with(f"{{name: ljspeech, root: {tmp_path}}}", both))


def test_files_of_two_folders_may_have_the_same_names(tmp_path: Path) -> None:
    for name in ("heard/1.wav", "heard/2.wav", "held_out/1.wav"):
        write(tmp_path / name)
    speech = find_speech(
        recipe_with(
            f"{{name: folder, root: {tmp_path}/heard, train: [all], validation: []}}",
            f"{{name: folder, root: {tmp_path}/held_out, train: [], validation: [all]}}",
        )
    )
    assert [u.path.parent.name for u in speech.train] == ["heard", "heard"]
    assert [u.path.parent.name for u in speech.validation] == ["held_out"]


def test_the_readers_of_librispeech_are_known_in_libritts(tmp_path: Path) -> None:
    chapter = tmp_path / "LibriSpeech/train-clean-100/84/1"
    write(chapter / "84-1-0000.flac")
    (chapter / "84-1.trans.txt").write_text("84-1-0000 YES\n")
    for corpus, speaker in (("LibriTTS", "85"), ("LibriTTS_R", "84")):
        write(tmp_path / corpus / f"train-clean-360/{speaker}/1/{speaker}_1_000001_000000.wav")

    def find(name: str) -> None:
        heard = f"{{name: librispeech, root: {tmp_path}, train: [train-clean-100], validation: []}}"
        other = f"{{name: {name}, root: {tmp_path}, train: [], validation: [train-clean-360]}}"
        find_speech(recipe_with(heard, other))

    find("libritts")
    with pytest.raises(CorpusError, match="LibriVox 84 is among both the training and the"):
        find("libritts-r")


def test_the_whole_size_is_said_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(root: Path, splits: object) -> None:
        raise CorpusError("fetched")

    monkeypatch.setattr(ljspeech, "download", refuse)
    with pytest.raises(CorpusError, match="fetched"):
        find_speech(
            recipe_with(
                f"{{name: ljspeech, root: {tmp_path}}}",
                f"{{name: speechocean762, root: {tmp_path}, validation: [test]}}",
                f"{{name: folder, root: {tmp_path}}}",
            )
        )
    total = (ljspeech.SOURCE.num_bytes + speechocean762.SOURCE.num_bytes) / 1e9
    said = capsys.readouterr().err
    assert said == f"to fetch: {total:.1f} GB (ljspeech 2.7 GB, speechocean762 545.0 MB)\n"


@pytest.mark.parametrize("name", CORPORA)
def test_recipes_know_every_corpus(name: str) -> None:
    recipe = recipe_with(f"{{name: {name}, root: x}}")
    assert recipe.data.corpora[0].name == name
    assert CORPORA[name].ABOUT.summary
