"""An export is whole, whatever happens on its way: kills, bad files, full disks, other plans."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from exports import SAMPLE_RATE, SHARD_HOURS, UNREADABLE, make_corpus, make_model, sound, whole

from vqaudio import AudioError, CorpusError, Tokenizer, TokensError, VqaudioError, audio
from vqaudio.checkpoint import load_model, save_model
from vqaudio.export import (
    Order,
    Row,
    Task,
    export,
    export_shard,
    in_processes,
    is_export,
    read_export,
    verify,
)
from vqaudio.export.encoding import _is_whole, encode_sounds
from vqaudio.export.formats import FORMATS
from vqaudio.export.header import Header
from vqaudio.export.listing import find_sounds
from vqaudio.export.plan import Plan
from vqaudio.export.sound import Sound

Asked = Callable[..., Order]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def asked(corpus: Path, model: Path, tmp_path: Path) -> Asked:
    """An order for the corpus, with what is given in place of the usual."""

    def ask(**other: Any) -> Order:
        usual = Order(
            data=str(corpus),
            out=str(tmp_path / "out"),
            model=str(model),
            format="jsonl",
            shard_hours=SHARD_HOURS,
            device="cpu",
        )
        return usual._replace(**other)

    return ask


@pytest.fixture(scope="module")
def undisturbed(
    corpus: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed")
    export(Order(str(corpus), str(out), str(model), "jsonl", None, None, None, (), SHARD_HOURS))
    return whole(out)


def test_what_is_written(undisturbed: dict[str, bytes], asked: Asked, tmp_path: Path) -> None:
    told: list[tuple[float, float]] = []
    index = export(asked(), progress=lambda done, total: told.append((done, total)))
    assert whole(tmp_path / "out") == undisturbed
    names = [f"shard-0000{number}" for number in range(4)]
    assert sorted(undisturbed) == sorted(
        [f"{name}{suffix}" for name in names for suffix in (".json", ".jsonl")]
        + ["index.json", "plan.json", "unreadable.jsonl"]
    )
    facts = json.loads(undisturbed["index.json"])
    assert facts["totals"]["rows"] == index.rows == 10
    assert facts["totals"]["unreadable"] == len(index.unreadable) == 2
    assert [shard["shard"] for shard in facts["shards"]] == names
    assert told[0][0] == 0.0
    assert told[-1][0] == pytest.approx(told[-1][1])
    assert told == sorted(told)
    report = [json.loads(line) for line in undisturbed["unreadable.jsonl"].splitlines()]
    assert sorted(one["id"] for one in report) == UNREADABLE
    assert "damaged after" in next(one["reason"] for one in report if "flac" in one["path"])
    text = b"".join(undisturbed.values()).decode()
    assert str(tmp_path.parent) not in text, "nothing depends on where the corpus lies"


def test_a_second_run_makes_nothing_again(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    first = export(asked())
    monkeypatch.setattr("vqaudio.export.run.export_shard", None)
    assert export(asked()) == first


def test_kill_9_anywhere_then_the_same_command(
    undisturbed: dict[str, bytes], asked: Asked, tmp_path: Path
) -> None:
    # Before each renaming, and there are no other moments in which a name comes to be.
    for number in range(1, 100):
        order = asked(out=str(tmp_path / str(number)))
        if not killed_before_renaming(number, order):
            break
        out = Path(order.out)
        assert {name for name in whole(out) if not name.startswith(".")} < set(undisturbed)
        export(order)
        assert whole(out) == undisturbed, f"killed before renaming number {number}"
    assert number == 12  # plan, four shards of two files, report, index: eleven


def killed_before_renaming(number: int, order: Order) -> bool:
    """Export in another process that is killed; whether it came so far."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # to fork beside threads
        child = os.fork()
    if child == 0:
        rename, count = os.replace, 0

        def replace(*names: Any) -> None:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(*names)

        os.replace = replace  # type: ignore[assignment]
        try:
            export(order)
        finally:
            os._exit(0)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    raise AssertionError("the process hangs")


def test_a_shard_with_another_size_or_without_manifest_is_made_again(
    undisturbed: dict[str, bytes], asked: Asked, tmp_path: Path
) -> None:
    export(asked())
    (tmp_path / "out/shard-00001.jsonl").write_bytes(b"{}")
    (tmp_path / "out/shard-00002.json").unlink()
    (tmp_path / "out/shard-00003.json").write_bytes(b"{}")
    assert len(verify(asked().out).faults) == 3
    with pytest.raises(VqaudioError, match="not complete, shard-00001 is missing"):
        list(read_export(asked().out))
    export(asked())
    assert whole(tmp_path / "out") == undisturbed


def test_another_plan_is_refused(asked: Asked, model: Path, tmp_path: Path) -> None:
    export(asked())
    before = whole(tmp_path / "out")
    other = tmp_path / "other.safetensors"
    loaded = load_model(model)
    with torch.no_grad():
        next(iter(loaded.codec.encoder.parameters())).mul_(1.5)
    save_model(other, loaded.codec, {})
    for change, words in (
        ({"model": str(other)}, "model .* there, .* now"),
        ({"format": "npz"}, "format jsonl there, npz now"),
        ({"pattern": "delay"}, "pattern None there, delay now"),
        ({"levels": 2}, "levels 3 there, 2 now"),
        ({"shard_hours": 1.0}, "shard hours"),
        ({"data": str(Path(asked().data) / "anna")}, "number of recordings 11 there, 4 now"),
    ):
        with pytest.raises(VqaudioError, match=f"holds another export .*{words}"):
            export(asked(**change))
    assert whole(tmp_path / "out") == before
    export(asked(format="npz"), force=True)
    assert sorted(path.suffix for path in (tmp_path / "out/anna").iterdir()) == [".npz"] * 4
    export(asked(), force=True)
    assert whole(tmp_path / "out") == before


def test_files_of_others_stay(asked: Asked, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("index.json", ".index.html", ".shard-notes"):
        (out / name).write_text("mine")
    for force in (False, True):
        with pytest.raises(VqaudioError, match=r"holds other files \(index.json\): name a folder"):
            export(asked(), force=force)
    assert sorted(whole(out)) == [".index.html", ".shard-notes", "index.json"]
    (out / "index.json").unlink()
    export(asked(format="npz"))
    (out / "anna" / "README").write_text("mine")
    # As kills leave shards: without a manifest, and with files of another size.
    (out / "shard-00000.json").unlink()
    (out / "anna" / "2.wav.npz").write_bytes(b"")
    export(asked(shard_hours=1.0), force=True)
    assert sorted(whole(out)) == [
        *(".index.html", ".shard-notes", "anna/README", "index.json", "plan.json"),
        *("shard-00000.json", "shard-00000.jsonl", "unreadable.jsonl"),
    ]
    (out / "plan.json").write_text("{}")
    with pytest.raises(VqaudioError, match="is no plan of an export, or a damaged one: name"):
        export(asked(), force=True)


def test_two_at_once_are_refused(asked: Asked) -> None:
    def meanwhile(tasks: Any, advance: Any) -> Iterator[Any]:
        with pytest.raises(VqaudioError, match="another export is writing"):
            export(asked())
        return iter(())

    with pytest.raises(KeyError):  # it gives no shards back
        export(asked(), executor=meanwhile)


def test_order_and_batch_change_no_code(corpus: Path, model: Path) -> None:
    sounds = find_sounds(str(corpus)).sounds
    several = Tokenizer(load_model(model), device=torch.device("cpu"), pieces_at_once=4)
    several.piece_frames = 20
    alone = Tokenizer(load_model(model), device=torch.device("cpu"))
    told: list[float] = []
    rows = encode_sounds(several, sounds, num_codebooks=3, advance=told.append)
    assert [row.id for row in rows] == [one.id for one in sounds]
    assert sum(told) == pytest.approx(sum(one.seconds for one in sounds))
    for row in rows:
        if isinstance(row, Row):
            assert row.tokens == alone.encode_file(corpus / row.path)
    assert rows == encode_sounds(alone, sounds, num_codebooks=3, advance=told.append)


def test_long_files_and_parts_of_files(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Asked
) -> None:
    monkeypatch.setattr("vqaudio.export.encoding.LONG_SECONDS", 2.0)
    soundfile.write(tmp_path / "long.flac", sound(5.0, 1, rate=4410), 4410)
    damaged = bytearray((tmp_path / "long.flac").read_bytes())
    damaged[-3000:-1500] = bytes(1500)
    (tmp_path / "broken.flac").write_bytes(damaged)
    lines = [
        {"audio_filepath": "long.flac", "text": "all", "speaker": "x", "lang": "tr"},
        {"audio_filepath": "long.flac", "offset": 1.5, "duration": 0.75, "text": "part"},
        {"audio_filepath": "long.flac", "offset": 1.5, "duration": 0.75, "text": "again"},
        {"audio_filepath": "broken.flac"},
        {"audio_filepath": "missing.flac", "speaker": "x"},
        {"audio_filepath": "long.flac", "offset": 99},
    ]
    manifest = tmp_path / "list.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    index = export(asked(data=str(manifest)))
    rows = list(read_export(asked().out))
    assert [row.id for row in rows] == ["long.flac", "long.flac@1.5", "long.flac@1.5#2"]
    assert [row.text for row in rows] == ["all", "part", "again"]
    assert (rows[0].speaker, rows[0].language, rows[1].speaker) == ("x", "tr", None)
    assert {(row.path, row.sha256) for row in rows} == {("long.flac", rows[0].sha256)}
    assert rows[1].start == 1.5
    tokenizer = Tokenizer(load_model(model), device=torch.device("cpu"))
    assert rows[0].tokens == tokenizer.encode_file(tmp_path / "long.flac")
    assert rows[1].tokens.num_samples == 1200
    reasons = {one.id: one.reason for one in index.unreadable}
    assert reasons.keys() == {"broken.flac", "missing.flac", "long.flac@99.0"}
    assert "damaged after" in reasons["broken.flac"]
    assert "cannot read missing.flac: No such file" in reasons["missing.flac"]
    assert "the utterance starts at 99 s" in reasons["long.flac@99.0"]


def test_unreadable_files_and_retry(asked: Asked, corpus: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(4):
        soundfile.write(data / f"{number}.wav", sound(1.0, number), SAMPLE_RATE)
    good = (data / "2.wav").read_bytes()
    order = asked(data=str(data), shard_hours=2 / 3600)
    undisturbed = export(order._replace(out=str(tmp_path / "good")))
    nan = np.full(SAMPLE_RATE, np.nan, np.float32)
    soundfile.write(data / "2.wav", nan, SAMPLE_RATE, subtype="FLOAT")
    index = export(order)
    assert [(one.id, "NaN" in one.reason) for one in index.unreadable] == [("2.wav", True)]
    assert [row.id for row in read_export(order.out)] == ["0.wav", "1.wav", "3.wav"]
    (data / "2.wav").write_bytes(good)
    assert export(order).rows == 3, "it is not tried again unasked"
    assert export(order, retry=True) == undisturbed
    assert whole(tmp_path / "out") == whole(tmp_path / "good")


def test_a_disk_that_goes_away(asked: Asked, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for speaker in ("a", "b"):
        (data / speaker).mkdir(parents=True)
        for number in range(2):
            soundfile.write(data / speaker / f"{number}.wav", sound(1.0, number), SAMPLE_RATE)
    order = asked(data=str(data), shard_hours=2 / 3600)
    export(order._replace(out=str(tmp_path / "good")))

    def unplug(tasks: Any, advance: Any) -> Iterator[Any]:
        for task in tasks:
            yield export_shard(task)
            (data / "b").rename(tmp_path / "b")

    with pytest.raises(VqaudioError, match=r"none of 2 recordings is to be had \(b/0.wav does not"):
        export(order, executor=unplug)
    (tmp_path / "b").rename(data / "b")
    export(order)
    assert whole(tmp_path / "out") == whole(tmp_path / "good")


def test_a_shard_of_nothing_is_tried_again(asked: Asked, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(2):
        soundfile.write(data / f"{number}.wav", sound(1.0, number), SAMPLE_RATE)
    order = asked(data=str(data), shard_hours=0.0)

    def unplug(tasks: Any, advance: Any) -> Iterator[Any]:
        (data / "1.wav").rename(tmp_path / "1.wav")
        yield from map(export_shard, tasks)
        (tmp_path / "1.wav").rename(data / "1.wav")

    assert export(order, executor=unplug).rows == 1
    assert export(order).rows == 2


def test_a_part_of_a_file_that_does_not_say_how_long_it_is(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(2.0, 1), SAMPLE_RATE)
    for seconds, whole_file in ((1.0, False), (2.0, True)):
        part = Sound("a", "a.wav", "a.wav", seconds)
        assert _is_whole(part, None, str(tmp_path / "a.wav")) == whole_file


def test_shards_sort_in_their_order() -> None:
    header = Header("model", 16_000, 320, (1024,))
    plan = Plan("jsonl", header, 1.0, "", 0, 0.0, ((0, 1),) * 100_001)
    assert (plan.names[0], plan.names[-1]) == ("shard-000000", "shard-100000")


def test_nothing_to_export(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="holds no audio file"):
        export(asked(data=str(tmp_path / "empty")))
    with pytest.raises(CorpusError, match="does not exist"):
        export(asked(data=str(tmp_path / "nowhere")))
    with pytest.raises(CorpusError, match="no corpus 'nonsense'"):
        export(asked(corpus="nonsense"))
    with pytest.raises(CorpusError, match="name it with --corpus"):
        export(asked(splits=("train",)))
    with pytest.raises(VqaudioError, match="nan hours are no length of a shard"):
        export(asked(shard_hours=float("nan")))
    with pytest.raises(TokensError, match="0 levels asked for"):
        export(asked(levels=0))
    assert not (tmp_path / "out").exists()
    for suffix in ("a", "b"):
        nan = np.full(100, np.nan, np.float32)
        soundfile.write(tmp_path / "empty" / f"{suffix}.wav", nan, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"no file of .* can be read: a\.wav holds a sample"):
        export(asked(data=str(tmp_path / "empty")))
    assert list(read_export(asked().out)) == []
    assert verify(asked().out).faults == ()


def test_a_corpus_and_its_splits(asked: Asked, corpus: Path) -> None:
    index = export(asked(corpus="folder", splits=("train", "validation")))
    assert index.rows == 10
    assert is_export(asked().out)


def test_a_full_disk(
    asked: Asked, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = FORMATS["jsonl"]

    def write(path: Path, header: Any, rows: Any) -> None:
        usual.write(path, header, rows)
        if path.name.startswith("shard-00002"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setitem(FORMATS, "jsonl", usual._replace(write=write))
        with pytest.raises(VqaudioError, match=r"cannot write to .*No space left .* goes on"):
            export(asked())
    assert sorted(whole(tmp_path / "out")) == sorted(
        ["plan.json"] + [f"shard-0000{n}{end}" for n in (0, 1) for end in (".json", ".jsonl")]
    )
    export(asked())
    assert whole(tmp_path / "out") == undisturbed


def test_what_does_not_read_back_is_not_kept(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = FORMATS["jsonl"]

    def lossy(path: Path, header: Any, rows: list[Row]) -> None:
        usual.write(path, header, rows[:-1])

    monkeypatch.setitem(FORMATS, "jsonl", usual._replace(write=lossy))
    with pytest.raises(VqaudioError, match=r"shard-00000 does not read back .*anna/2.wav"):
        export(asked())
    assert sorted(whole(tmp_path / "out")) == ["plan.json"]


def test_verify_finds_what_is_wrong(asked: Asked, tmp_path: Path) -> None:
    index = export(asked())
    found = verify(asked().out)
    assert (found.shards, found.rows, found.faults) == (4, 10, ())
    assert found.seconds == pytest.approx(index.seconds)
    files = [tmp_path / "out" / shard.files[0].name for shard in index.shards]
    content = bytearray(files[0].read_bytes())
    content[len(content) // 2] ^= 1
    files[0].write_bytes(content)
    files[1].write_bytes(files[1].read_bytes()[:-1])
    files[2].with_suffix(".json").unlink()
    files[3].unlink()
    faults = verify(asked().out).faults
    words = ["SHA-256 is another", "of", "it is missing", "shard-00003.jsonl is missing"]
    assert len(faults) == 4
    for number, (fault, word) in enumerate(zip(faults, words, strict=True)):
        assert fault.startswith(f"shard-0000{number}: ")
        assert word in fault
    with pytest.raises(VqaudioError, match="holds no export"):
        verify(str(tmp_path))


def test_a_killed_worker_is_a_sentence() -> None:
    execute = in_processes(2)
    with pytest.raises(VqaudioError, match=r"a worker was killed.* the same command goes on"):
        list(execute([Fatal()], lambda seconds: None))  # type: ignore[list-item]


class Fatal:
    """A task that kills the worker which unpacks it."""

    def __reduce__(self) -> Any:
        return eval, (f"__import__('os').kill(__import__('os').getpid(), {int(signal.SIGKILL)})",)


@pytest.mark.slow
def test_several_processes_give_the_same_bytes(
    undisturbed: dict[str, bytes], asked: Asked, tmp_path: Path
) -> None:
    export(asked(), executor=in_processes(2))
    assert whole(tmp_path / "out") == undisturbed


def test_a_shard_with_another_model_is_refused(asked: Asked, tmp_path: Path) -> None:
    seen: list[Task] = []

    def keep(tasks: Any, advance: Any) -> Iterator[Any]:
        seen.extend(tasks)
        yield from map(export_shard, seen)

    export(asked(), executor=keep)
    wrong = seen[0]._replace(model="speech-16k")
    with pytest.raises(VqaudioError, match="the export was begun with"):
        export_shard(wrong)


def test_reading_ahead_keeps_order_and_errors() -> None:
    def blocks() -> Iterator[int]:
        yield from range(5)
        raise AudioError("broken")

    seen: list[int] = []
    with pytest.raises(AudioError, match="broken"), audio.read_ahead(blocks()) as ahead:
        seen.extend(ahead)
    assert seen == [0, 1, 2, 3, 4]
    with audio.read_ahead(iter(range(100))) as ahead:
        assert next(ahead) == 0, "and what is not wanted is not read"
    with audio.read_ahead(iter(range(100))) as ahead:
        assert list(ahead) == list(range(100))
