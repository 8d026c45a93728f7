"""Corpora that are built here or lie here: Debian packages, LibriSpeech's layout, any folder."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vqaudio.corpora import CORPORA, Utterance, debian_speech, folder, librispeech
from vqaudio.errors import CorpusError

needs_dpkg = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="debian-speech is built with dpkg, missing here"
)


def noise(seed: int, *, seconds: float = 0.5, sample_rate: int = 16_000) -> np.ndarray:
    """Every band is full, as the check for dull recordings wants; another seed, another sound."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * sample_rate))
    return 0.1 * samples.clip(-4, 4)


def write(path: Path, samples: np.ndarray, sample_rate: int = 16_000, **how: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, sample_rate, **how)


def build_deb(name: str, unpacked: Path, packages: Path) -> None:
    control = (
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: x\n"
    )
    (unpacked / "DEBIAN").mkdir(parents=True)
    (unpacked / "DEBIAN/control").write_text(control)
    command = ["dpkg-deb", "-Znone", "--build", str(unpacked), str(packages / f"{name}_1_all.deb")]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny twins of the ten packages. Each has something to keep and something to leave out."""
    raw, debs = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("debs")

    voice = raw / "festvox-ru/usr/share/festival/voices/russian/msu_ru_nsh_clunits"
    write(voice / "wav/ru_0001.wav", noise(1))
    (voice / "etc").mkdir()
    (voice / "etc/txt.done.data").write_text('( ru_0001 "Ж+ук." )\n', encoding="utf-8")

    for seed, language in enumerate(("en", "es", "fr", "it", "ru")):
        share = raw / f"asterisk-core-sounds-{language}-g722/usr/share"
        prompts = share / "asterisk/sounds" / f"{language}_XX_f_Somebody"
        (prompts / "digits").mkdir(parents=True)
        for offset, name in enumerate(("hello", "digits/1", "beep", "ascending-2tone")):
            data = np.random.default_rng(100 + 10 * seed + offset).bytes(4000)  # 0.5 s
            (prompts / f"{name}.g722").write_bytes(data)
        (prompts / "is.g722").write_bytes(b"")

    sound = raw / "fillets-ng-data-cs/usr/share/games/fillets-ng/sound"
    for seed, name in enumerate(("city/cs/ci-m-ahoj", "city/cs/v-ahoj", "city/cs/kd-mesto")):
        write(sound / f"{name}.ogg", noise(200 + seed, sample_rate=22_050), 22_050)
    write(sound / "city/en/ci-m-hello.ogg", noise(203, sample_rate=22_050), 22_050)

    stamps = raw / "tuxpaint-stamps-default/usr/share/tuxpaint/stamps/animals"
    for seed, name in enumerate(("duck_desc_fr", "duck_desc_el", "2_fr", "duck", "duck_desc_es")):
        write(stamps / f"{name}.ogg", noise(300 + seed, sample_rate=44_100), 44_100)
    (stamps / "duck.txt").write_text("A duck.\nfr.utf8=Un canard.\n", encoding="utf-8")

    letters = raw / "klettres-data/usr/share/klettres"
    for seed, name in enumerate(("uk/alpha/a", "de/syllab/ba", "ml/alpha/a")):
        write(letters / f"{name}.ogg", noise(400 + seed, sample_rate=44_100), 44_100)

    words = raw / "ktuberling-data/usr/share/ktuberling/sounds"
    stereo = np.stack([noise(500, sample_rate=48_000), noise(501, sample_rate=48_000)], axis=1)
    write(words / "nn/hat.opus", stereo, 48_000, format="OGG", subtype="OPUS")
    write(words / "fr/loud.wav", 10 * noise(502), subtype="FLOAT")
    write(words / "fr/loud_again.wav", 10 * noise(502), subtype="FLOAT")
    write(words / "fr/short.wav", noise(503, seconds=0.29))
    write(words / "fr/silent.wav", 0.001 * noise(504))
    write(words / "fr/telephone.wav", noise(505, sample_rate=8_000), 8_000)
    write(words / "fr/dull.wav", 0.5 * np.sin(np.arange(22_050) * 0.1), 44_100)
    write(words / "gl/hat.wav", noise(506))

    for unpacked in raw.iterdir():
        build_deb(unpacked.name, unpacked, debs)
    return debs


@pytest.fixture(scope="module")
def built(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    debian_speech.download(root, debian_speech.SPLITS, packages=packages)
    return root


KEPT = {
    "festvox-ru/ru_0001",
    "asterisk-allison/en_XX_f_Somebody-hello",
    "asterisk-allison/en_XX_f_Somebody-digits-1",
    "asterisk-allison/es_XX_f_Somebody-hello",
    "asterisk-allison/es_XX_f_Somebody-digits-1",
    "asterisk-fr/fr_XX_f_Somebody-hello",
    "asterisk-fr/fr_XX_f_Somebody-digits-1",
    "asterisk-it/it_XX_f_Somebody-hello",
    "asterisk-it/it_XX_f_Somebody-digits-1",
    "asterisk-ru/ru_XX_f_Somebody-hello",
    "asterisk-ru/ru_XX_f_Somebody-digits-1",
    "fillets-cs-small/city-cs-ci-m-ahoj",
    "fillets-cs-big/city-cs-v-ahoj",
    "fillets-cs-others/city-cs-kd-mesto",
    "tuxpaint-fr/animals-duck_desc_fr",
    "tuxpaint-el/animals-duck_desc_el",
    "tuxpaint-fr/animals-2_fr",
    "klettres-uk/uk-alpha-a",
    "klettres-de/de-syllab-ba",
    "ktuberling-nn/nn-hat",
    "ktuberling-fr/fr-loud",
}


def all_utterances(root: Path) -> list[Utterance]:
    return [u for split in debian_speech.SPLITS for u in debian_speech.utterances(root, split)]


@needs_dpkg
def test_debian_keeps_speech_and_leaves_the_rest_out(built: Path) -> None:
    corpus = built / "debian-speech"
    files = {str(path.relative_to(corpus).with_suffix("")) for path in corpus.rglob("*.flac")}
    assert files == KEPT
    listed = {str(u.path.relative_to(corpus).with_suffix("")) for u in all_utterances(built)}
    assert listed == KEPT


@needs_dpkg
def test_debian_clips_are_mono_16_khz_and_as_long_as_listed(built: Path) -> None:
    for utterance in all_utterances(built):
        info = soundfile.info(utterance.path)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        assert utterance.seconds == info.frames / 16_000 == pytest.approx(0.5, abs=0.01)
        assert utterance.path.parent.name == utterance.speaker


@needs_dpkg
def test_debian_16_khz_recordings_are_unchanged_and_loud_ones_are_not_clipped(built: Path) -> None:
    corpus = built / "debian-speech"
    samples, _ = soundfile.read(corpus / "festvox-ru/ru_0001.flac", dtype="int16")
    np.testing.assert_allclose(samples, noise(1) * 2**15, atol=1)
    loud, _ = soundfile.read(corpus / "ktuberling-fr/fr-loud.flac")
    expected = 10 * noise(502)
    np.testing.assert_allclose(loud, expected / np.abs(expected).max(), atol=1e-4)


@needs_dpkg
def test_debian_is_built_below_a_relative_root(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    debian_speech.download(Path("data"), ["train"], packages=packages)
    assert debian_speech.utterances(Path("data"), "train")


@needs_dpkg
def test_debian_texts(built: Path) -> None:
    texts = {u.path.stem: u.text for u in all_utterances(built) if u.text is not None}
    assert texts == {"ru_0001": "Жук.", "animals-duck_desc_fr": "Un canard."}


@needs_dpkg
def test_debian_splits_share_no_speaker(built: Path) -> None:
    train, validation = (
        {u.speaker for u in debian_speech.utterances(built, split)}
        for split in ("train", "validation")
    )
    assert validation == {"asterisk-it", "tuxpaint-el", "klettres-uk"}
    assert not train & validation


@needs_dpkg
def test_debian_complete_corpus_is_not_built_again(built: Path) -> None:
    debian_speech.download(built, ["train"], packages=Path("nowhere"))


@needs_dpkg
def test_debian_continues_after_the_packages_that_are_done(packages: Path, tmp_path: Path) -> None:
    some = tmp_path / "debs"
    shutil.copytree(packages, some)
    last = some / "ktuberling-data_1_all.deb"
    last.rename(tmp_path / last.name)
    with pytest.raises(CorpusError, match=r"has no ktuberling-data_\*\.deb: put it there"):
        debian_speech.download(tmp_path, ["train"], packages=some)
    with pytest.raises(CorpusError, match="download the corpus debian-speech"):
        debian_speech.utterances(tmp_path, "train")

    for deb in some.iterdir():
        deb.unlink()
    (tmp_path / last.name).rename(last)
    debian_speech.download(tmp_path, ["train"], packages=some)
    assert len(all_utterances(tmp_path)) == len(KEPT)
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob(".unpack-*"))


@needs_dpkg
def test_debian_damaged_package(tmp_path: Path) -> None:
    (tmp_path / "festvox-ru_1_all.deb").write_bytes(b"not an archive")
    with pytest.raises(CorpusError, match=r"dpkg -x .* failed: fetch it anew"):
        debian_speech.download(tmp_path, ["train"], packages=tmp_path)


@needs_dpkg
def test_debian_package_of_another_release(tmp_path: Path) -> None:
    build_deb("festvox-ru", tmp_path / "raw", tmp_path)
    with pytest.raises(CorpusError, match="festvox-ru is not laid out as in Debian 12"):
        debian_speech.download(tmp_path, ["train"], packages=tmp_path)


def test_debian_without_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match="apt-get was not found: build this corpus on Debian"):
        debian_speech.download(tmp_path, ["train"])


def test_debian_apt_knows_no_such_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho 'E: Unable to locate' >&2\nexit 100\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match=r"run apt-get update and try again .*Unable to locate"):
        debian_speech.download(tmp_path, ["train"])


@needs_dpkg
def test_debian_without_pyav(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(CorpusError, match=r"pip install 'vqaudio\[train\]'"):
        debian_speech.download(tmp_path, ["train"], packages=packages)


@pytest.mark.parametrize("name", CORPORA)
def test_every_corpus_refuses_unknown_splits(name: str, tmp_path: Path) -> None:
    corpus = CORPORA[name]
    for call in (
        lambda: corpus.download(tmp_path, ["tset"]),
        lambda: corpus.utterances(tmp_path, "tset"),
    ):
        with pytest.raises(
            CorpusError, match=f"{name} has no split 'tset': choose from .*{corpus.SPLITS[0]}"
        ):
            call()


@pytest.fixture
def libri(tmp_path: Path) -> Path:
    chapter = tmp_path / "LibriSpeech/dev-clean/84/121123"
    write(chapter / "84-121123-0000.flac", noise(1, seconds=0.25))
    write(chapter / "84-121123-0001.flac", noise(2))
    write(tmp_path / "LibriSpeech/dev-clean/251/1/251-1-0000.flac", noise(3))
    (chapter / "84-121123.trans.txt").write_text("84-121123-0000 GO DO YOU HEAR\n84-121123-0001 \n")
    (tmp_path / "LibriSpeech/dev-clean/251/1/251-1.trans.txt").write_text("251-1-0000 YES\n")
    return tmp_path


def test_librispeech_lists_speakers_lengths_and_texts(libri: Path) -> None:
    librispeech.download(libri, ["dev-clean"])
    chapter = libri / "LibriSpeech/dev-clean/84/121123"
    assert librispeech.utterances(libri, "dev-clean") == [
        Utterance(libri / "LibriSpeech/dev-clean/251/1/251-1-0000.flac", "251", 0.5, "YES"),
        Utterance(chapter / "84-121123-0000.flac", "84", 0.25, "GO DO YOU HEAR"),
        Utterance(chapter / "84-121123-0001.flac", "84", 0.5, None),
    ]


def test_librispeech_missing_split_says_how_to_get_it(libri: Path) -> None:
    remedy = f"run vqaudio download librispeech {libri} --split dev-other"
    with pytest.raises(CorpusError, match=f"dev-other does not exist: {remedy}"):
        librispeech.utterances(libri, "dev-other")
    (libri / "LibriSpeech/dev-other").mkdir()
    with pytest.raises(CorpusError, match=f"dev-other has no .*flac: {remedy}"):
        librispeech.utterances(libri, "dev-other")


@pytest.mark.parametrize("name", ["84-121123.trans.txt", "84-121123-0001.flac"])
def test_librispeech_damaged_files_are_named(libri: Path, name: str) -> None:
    path = libri / "LibriSpeech/dev-clean/84/121123" / name
    path.unlink()
    if path.suffix == ".flac":
        path.write_bytes(b"fLaC?")
    with pytest.raises(CorpusError, match=f"{name} .*unpack the archive of its split anew"):
        librispeech.utterances(libri, "dev-clean")


def speakers(root: Path, split: str) -> set[str]:
    return {utterance.speaker for utterance in folder.utterances(root, split)}


def test_folder_speakers_come_from_folders_or_stems(tmp_path: Path) -> None:
    write(tmp_path / "anna/day1/a.wav", noise(1))
    write(tmp_path / "anna/day2/a.FLAC", noise(2), format="FLAC")
    write(tmp_path / "alone.ogg", noise(3))
    (tmp_path / "anna/raw.g722").write_bytes(bytes(4000))  # its length is in no header
    (tmp_path / "anna/notes.txt").write_text("not a sound")
    write(tmp_path / ".trash/gone.wav", noise(4))
    everything = folder.utterances(tmp_path, "train") + folder.utterances(tmp_path, "validation")
    found = {(str(u.path.relative_to(tmp_path)), u.speaker, u.seconds) for u in everything}
    assert found == {
        ("anna/day1/a.wav", "anna", 0.5),
        ("anna/day2/a.FLAC", "anna", 0.5),
        ("anna/raw.g722", "anna", 0.5),
        ("alone.ogg", str(tmp_path / "alone.ogg"), 0.5),
    }


def test_folder_holds_out_about_one_speaker_in_twenty_and_the_same_ones_always(
    tmp_path: Path,
) -> None:
    for index in range(200):
        write(tmp_path / f"speaker{index}.wav", np.zeros(1))
    held_out = speakers(tmp_path, "validation")
    assert 4 <= len(held_out) <= 20
    everyone = {str(tmp_path / f"speaker{i}.wav") for i in range(200)}
    assert speakers(tmp_path, "train") == everyone - held_out
    write(tmp_path / "newcomer/a.wav", np.zeros(1))
    assert speakers(tmp_path, "validation") - {"newcomer"} == held_out


@pytest.mark.parametrize(("count", "held_out"), [(1, 0), (2, 1), (3, 1)])
def test_folder_of_few_speakers(tmp_path: Path, count: int, held_out: int) -> None:
    for name in ("anna", "berta", "carla")[:count]:
        write(tmp_path / name / "a.wav", np.zeros(1))
    assert len(speakers(tmp_path, "validation")) == held_out
    assert len(speakers(tmp_path, "train")) == count - held_out


def test_folder_leaves_unreadable_files_out_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "anna/a.wav", noise(1))
    (tmp_path / "anna/b.wav").write_bytes(b"RIFF?")
    (tmp_path / "anna/c.wav").mkdir()  # a folder, whatever its name
    with caplog.at_level(logging.WARNING):
        assert [u.path.name for u in folder.utterances(tmp_path, "train")] == ["a.wav"]
    assert "1 of 2 sound files below" in caplog.text
    assert "b.wav" in caplog.text


def test_folder_errors_say_what_to_do(tmp_path: Path) -> None:
    folder.download(tmp_path, ["train"])
    with pytest.raises(CorpusError, match="nowhere is not a folder: name one that holds sound"):
        folder.download(tmp_path / "nowhere", ["train"])
    with pytest.raises(CorpusError, match="holds no audio file; the suffixes looked for"):
        folder.utterances(tmp_path, "train")


def test_folder_all_is_both_splits(tmp_path: Path) -> None:
    for name in ("anna", "berta", "carla"):
        write(tmp_path / name / "a.wav", np.zeros(1))
    assert speakers(tmp_path, "all") == {"anna", "berta", "carla"}
