"""An export on a Ray cluster is the export of one process, whoever is killed on the way."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from exports import SAMPLE_RATE, SHARD_HOURS, UNREADABLE, make_corpus, make_model, sound, whole
from shell import vqaudio

from vqaudio import VqaudioError
from vqaudio.export import Order, export, verify
from vqaudio.export.ray import on_ray

# Ray Data sets options of its own that it has deprecated.
pytestmark = pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated:DeprecationWarning")

SHARDS = 12
SHARD_SECONDS = 720
"""Of sound at another rate: what an actor of one core works on for about a second."""
MEMORY = {"object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that does no work, and a machine with one core; without a trace afterwards."""
    pytest.importorskip("ray.data", reason="Ray Data is not installed")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Not below pytest's folder: names of sockets are short.
        folder = tempfile.mkdtemp(prefix="vq-ray-")
        patch.setenv("RAY_TMPDIR", folder)
        cluster = Cluster()
        try:
            cluster.add_node(num_cpus=0, include_dashboard=False, **MEMORY)
            cluster.add_node(num_cpus=1, **MEMORY)
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def order(data: Path, out: Path, model: Path, *, hours: float = SHARD_HOURS) -> Order:
    return Order(str(data), str(out), str(model), "jsonl", shard_hours=hours, device="cpu")


def actors_of(node: Any) -> set[int]:
    """The processes in which a machine of the cluster makes shards."""
    raylets = {process.process.pid for process in node.all_processes.get("raylet", ())}
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            facts = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
            name = (status.parent / "cmdline").read_text()
        except (OSError, ValueError):
            continue
        if int(facts["PPid"]) in raylets and "MapWorker" in name:
            found.add(int(status.parent.name))
    return found


@pytest.mark.slow
def test_names_that_hold_here_only_and_unreadable_files(
    cluster: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_corpus(tmp_path / "corpus")
    export(order(tmp_path / "corpus", tmp_path / "here", model))
    monkeypatch.chdir(tmp_path)
    relative = Path(os.path.relpath(model))
    done = vqaudio(
        *("export", "corpus", "there", "--model", relative, "--format", "jsonl"),
        *("--shard-hours", SHARD_HOURS, "--ray", cluster.address, "--ray-actors", 3),
    )
    assert done.code == 0, done.err
    assert "2 recordings cannot be read" in done.err
    assert any(name in done.err for name in UNREADABLE)
    assert whole(tmp_path / "there") == whole(tmp_path / "here")


@pytest.mark.slow
def test_another_version_and_no_room(
    cluster: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_corpus(tmp_path / "corpus")
    asked = order(tmp_path / "corpus", tmp_path / "out", model)
    with pytest.raises(VqaudioError, match=r"has 1 CPUs, 0 GPUs, and an actor needs 4 and 0: add"):
        export(asked, executor=on_ray(cluster.address, cpus_per_actor=4))
    with pytest.raises(VqaudioError, match=r"has 1 CPUs, 0 GPUs, and an actor needs 1 and 1: add"):
        export(asked, executor=on_ray(cluster.address, gpus_per_actor=1))
    monkeypatch.setattr("vqaudio.export.ray.version", lambda name: "0.0.0")
    with pytest.raises(VqaudioError, match=r"vqaudio here is 0.0.0, on .* of the cluster \d"):
        export(asked, executor=on_ray(cluster.address))
    assert sorted(whole(tmp_path / "out")) == ["plan.json"]


@pytest.mark.slow
def test_a_worker_and_then_a_machine_die_in_the_middle(
    cluster: Any, model: Path, tmp_path: Path
) -> None:
    for number in range(2):
        noise = sound(SHARD_SECONDS / 4, number, rate=8000)
        soundfile.write(tmp_path / f"{number}.flac", noise, 8000)
    manifest = tmp_path / "list.jsonl"
    lines = [f'{{"audio_filepath": "{number % 2}.flac"}}\n' for number in range(4 * SHARDS)]
    manifest.write_text("".join(lines))
    asked = order(manifest, tmp_path / "here", model, hours=SHARD_SECONDS / 3600)
    export(asked)
    undisturbed = whole(tmp_path / "here")
    dying = cluster.add_node(num_cpus=1, **MEMORY)
    staying = cluster.list_all_nodes()[1]
    events: list[str] = []
    seen: set[int] = set()

    def progress(done: float, total: float) -> None:
        shards = round(done / SHARD_SECONDS)
        seen.update(actors_of(staying))
        if not events and shards >= 3 and actors_of(staying) and actors_of(dying):
            time.sleep(0.3)  # the next shards have been begun
            (victim,) = actors_of(staying)
            os.kill(victim, signal.SIGKILL)
            events.append(f"worker killed after {shards}")
        elif len(events) == 1 and shards >= 6 and actors_of(dying):
            cluster.remove_node(dying, allow_graceful=False)
            events.append(f"machine killed after {shards}")

    out = tmp_path / "there"
    export(asked._replace(out=str(out)), executor=on_ray(cluster.address), progress=progress)
    assert len(events) == 2, events
    assert len(seen) > 1, "the worker that was killed has no successor"
    assert whole(out) == undisturbed
    assert verify(str(out)).faults == ()


def test_no_ray_and_no_cluster(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    soundfile.write(tmp_path / "data/a.wav", sound(0.5, 1), SAMPLE_RATE)
    asked = order(tmp_path / "data", tmp_path / "out", model)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ray", None)
        with pytest.raises(VqaudioError, match=r"pip install 'vqaudio\[ray\]'"):
            export(asked, executor=on_ray("local"))
    pytest.importorskip("ray.data", reason="Ray Data is not installed")
    start = time.monotonic()
    for address in ("127.0.0.1:9", "nonsense", "localhost:99999"):
        with pytest.raises(VqaudioError, match=f"no Ray cluster answers at {address}: give HOST"):
            export(asked, executor=on_ray(address))
    with pytest.raises(VqaudioError, match=r"ray://there:9 is Ray's client, .* give HOST:PORT"):
        export(asked, executor=on_ray("ray://there:9"))
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("other", [("--workers", 2), ()])
def test_options_that_exclude_each_other(tmp_path: Path, other: tuple[object, ...]) -> None:
    ray = ("--ray", "local") if other else ("--ray-actors", 2)
    done = vqaudio("export", tmp_path, tmp_path / "out", *ray, *other)
    assert done.code == 2
    assert "--ray" in done.err
