"""Exports from and to a bucket: moto's server of S3 on this machine, spoken to by s3fs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from exports import SAMPLE_RATE, SHARD_HOURS, make_corpus, make_model, sound, whole
from shell import done

from vqaudio.export import Executor, Index, Order, export, in_processes, read_export, verify

fsspec = pytest.importorskip("fsspec", reason="needs vqaudio[export]")
pytest.importorskip("pyarrow", reason="needs vqaudio[export]")
pytest.importorskip("s3fs", reason="s3fs is not installed")
moto = pytest.importorskip(
    "moto.server", reason="moto[server] is not installed", exc_type=ImportError
)

ODD = "sürname/what? [1]*#2 100%.wav"
"""A name with what addresses, patterns and listings give a meaning to."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_corpus(tmp_path_factory.mktemp("corpus"))
    for name in (ODD, "anna-b/0.wav"):  # "anna-b/" is before "anna/" in S3, and after it here
        (root / name).parent.mkdir()
        soundfile.write(root / name, sound(0.4, 20), SAMPLE_RATE)
    return root


@pytest.fixture(scope="module")
def bucket(corpus: Path) -> Iterator[Any]:
    """A client of a bucket that holds the corpus; none of fsspec, so that it knows no cache."""
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("FSSPEC_S3_ENDPOINT_URL", f"http://{host}:{port}")  # for other processes
        patch.setitem(fsspec.config.conf, "s3", {"endpoint_url": f"http://{host}:{port}"})
        client = boto3.resource("s3", endpoint_url=f"http://{host}:{port}").Bucket("speech")
        client.create()
        for path in corpus.rglob("*.*"):
            client.upload_file(str(path), f"corpus/{path.relative_to(corpus).as_posix()}")
        yield client
    server.stop()


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of the same corpus in a folder of this machine."""
    out = tmp_path_factory.mktemp("undisturbed")
    run(corpus, out, model)
    return out


def run(data: object, out: object, model: Path, executor: Executor | None = None) -> Index:
    order = Order(str(data), str(out), str(model), shard_hours=SHARD_HOURS, device="cpu")
    return export(order, executor=executor)


def below(bucket: Any, prefix: str) -> dict[str, bytes]:
    return {
        one.key.removeprefix(prefix): one.get()["Body"].read()
        for one in bucket.objects.filter(Prefix=prefix)
    }


def test_from_a_bucket_to_a_bucket(bucket: Any, undisturbed: Path, model: Path) -> None:
    out = "s3://speech/out"
    index = run("s3://speech/corpus", out, model)
    assert below(bucket, "out/") == whole(undisturbed), "wherever the corpus lies"
    rows = list(read_export(out))
    assert rows == list(read_export(undisturbed))
    assert ODD in [row.id for row in rows]
    assert verify(out).faults == ()
    # By another client: whoever believes what he listed before does not see it.
    bucket.Object("out/shard-00001.json").delete()
    bucket.Object("out/shard-00002.parquet").put(Body=b"PAR1")
    assert [fault[:11] for fault in verify(out).faults] == ["shard-00001", "shard-00002"]
    assert run("s3://speech/corpus", out, model) == index
    assert below(bucket, "out/") == whole(undisturbed)
    before = {one.key: one.last_modified for one in bucket.objects.filter(Prefix="out/shard")}
    assert run("s3://speech/corpus", out, model) == index
    after = {one.key: one.last_modified for one in bucket.objects.filter(Prefix="out/shard")}
    assert after == before, "nothing is made again"


@pytest.mark.slow
def test_two_processes_that_are_killed(bucket: Any, undisturbed: Path, model: Path) -> None:
    asked = ("export", "s3://speech/corpus", "s3://speech/killed", "--model", str(model))
    asked = (*asked, "--device", "cpu", "--shard-hours", str(SHARD_HOURS), "--workers", "2")
    command = [sys.executable, "-c", "from vqaudio.cli import main; main()", *asked]
    with subprocess.Popen(command, env=os.environ) as process:
        end = time.monotonic() + 120
        while not any(name.startswith("shard") for name in below(bucket, "killed/")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)  # and its workers end by themselves
    there = below(bucket, "killed/")
    assert "index.json" not in there
    run("s3://speech/corpus", "s3://speech/killed", model, in_processes(2))
    assert below(bucket, "killed/") == whole(undisturbed)
    assert "all as they were written" in done("verify", "s3://speech/killed").lines[0]
