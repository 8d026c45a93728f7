"""Shards on a Ray cluster, by Ray Data: what a lost worker or machine was making is made again.

A shard done twice is the same, so that nothing needs to be known about how far a lost one came.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any

from vqaudio.errors import VqaudioError
from vqaudio.export.run import Advance, Executor
from vqaudio.export.shard import Task
from vqaudio.export.storage import is_remote
from vqaudio.export.summary import Summary

ANSWER_SECONDS = 5.0
"""A cluster that does not answer within these is none. Ray itself would ask for minutes."""


def on_ray(
    address: str,
    *,
    actors: int | None = None,
    cpus_per_actor: int = 1,
    gpus_per_actor: float | None = None,
) -> Executor:
    """An `Executor` of the cluster at `address`: host:port, "auto" or "local".

    `actors` are as many as find room without it, and at the most that many with it: those that
    find none are started when machines join. Each takes `cpus_per_actor` cores (a model on CPU
    needs one, readers beside a GPU more) and a GPU, or `gpus_per_actor`, unless the device is the
    CPU or the cluster has none. All that tasks name, recordings, model and export, must be found
    under the same name on all machines.

    Raises VqaudioError, when it is run, if there is no Ray here, no cluster, no room for an
    actor, or another vqaudio there.
    """

    def execute(tasks: Iterable[Task], advance: Advance) -> Iterator[Summary]:
        waiting = [_anywhere(task) for task in tasks]
        if not waiting:
            return
        with _cluster(address) as room:
            from ray.data import ActorPoolStrategy

            gpus = gpus_per_actor
            if gpus is None:
                gpus = float(waiting[0].device != "cpu" and room.get("GPU", 0) >= 1)
            fitting = _fitting(address, room, cpus_per_actor, gpus)
            if gpus:  # not "auto", which would be slow in silence where CUDA does not work
                waiting = [task._replace(device="cuda") for task in waiting]
            most = min(actors or fitting, len(waiting))
            pool = ActorPoolStrategy(
                min_size=1,
                initial_size=min(fitting, most),
                max_size=most,
                # Those that wait for an actor wait for it even when it is lost.
                max_tasks_in_flight_per_actor=1,
            )
            for done in _done(waiting, pool, cpus_per_actor, gpus):
                if done["fault"]:
                    raise VqaudioError(done["fault"])
                advance(done["seconds"])
                yield Summary.from_json(done["summary"], "what a worker sent")

    return execute


def _done(tasks: list[Task], pool: Any, cpus: int, gpus: float) -> Iterator[dict[str, Any]]:
    """What the actors give, in any order. A task is a block of its own, held by this machine.

    Ray Data starts lost actors again, and gives them their tasks again, as often as it takes.
    """
    from ray.data import DataContext, from_items
    from ray.exceptions import RayError

    DataContext.get_current().enable_progress_bars = False
    rows = [{"task": pickle.dumps(task), "seconds": task.seconds} for task in tasks]
    shards = from_items(rows, override_num_blocks=len(rows)).map_batches(
        _shard_maker(),
        fn_constructor_args=(version("vqaudio"),),
        batch_size=1,
        compute=pool,
        num_cpus=cpus,
        num_gpus=gpus,
    )
    try:
        yield from shards.iter_rows()
    except RayError as error:
        raise VqaudioError(
            f"the Ray cluster gave up ({_first_line(error)}): the same command goes on from there"
        ) from error


def _shard_maker() -> type:
    """The class of the actors. Defined in a function it is sent itself, rather than by its name:
    the version is compared before anything of the other machine's vqaudio is used.
    """

    class ShardMaker:
        def __init__(self, wanted: str) -> None:
            self.wanted = wanted

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            summary, fault = self.make(batch["task"][0])
            return {"summary": [summary], "fault": [fault], "seconds": batch["seconds"]}

        def make(self, task: bytes) -> tuple[bytes, str]:
            """The summary as JSON, and what went wrong."""
            import platform
            from importlib.metadata import PackageNotFoundError, version

            try:
                found = version("vqaudio")
            except PackageNotFoundError:
                found = "none"
            if found != self.wanted:
                return b"", (
                    f"vqaudio here is {self.wanted}, on {platform.node()} of the cluster {found}: "
                    "install the same one on all machines"
                )
            from vqaudio.errors import VqaudioError
            from vqaudio.export.shard import export_shard

            try:
                return export_shard(pickle.loads(task)).to_json(), ""
            except VqaudioError as error:
                return b"", str(error)

    return ShardMaker


@contextmanager
def _cluster(address: str) -> Iterator[dict[str, float]]:
    """Connected to a cluster inside; its resources. Raises VqaudioError when there is none."""
    try:
        import ray
        import ray.data  # which needs more than Ray alone
    except ImportError:
        raise VqaudioError("--ray needs Ray Data: pip install 'vqaudio[ray]'") from None
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody was asked
    elif address != "auto":
        _knock(address)
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if address == "local" else None,
        )
    except (Exception, SystemExit) as error:  # the latter is how Ray says that it found none
        raise VqaudioError(
            f"cannot join a Ray cluster at {address} ({_first_line(error)}): start one with "
            "`ray start --head`, give this side its token (RAY_AUTH_MODE, RAY_AUTH_TOKEN), or "
            "--ray local"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray.cluster_resources()  # type: ignore[no-untyped-call, unused-ignore]
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    if address.startswith("ray://"):
        raise VqaudioError(
            f"{address} is Ray's client, through which Ray Data did not run: give HOST:PORT or "
            "auto on a machine of the cluster, by `ray job submit` from elsewhere"
        )
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError):
        raise VqaudioError(
            f"no Ray cluster answers at {address}: give HOST:PORT as `ray start --head` prints it, "
            "auto on a machine of the cluster, or local"
        ) from None


def _fitting(address: str, room: dict[str, float], cpus: int, gpus: float) -> int:
    """How many actors find room in the whole cluster. Raises VqaudioError when none does."""
    wanted = {"CPU": float(cpus), "GPU": gpus}
    most = min(math.floor(room.get(kind, 0) / each) for kind, each in wanted.items() if each)
    if most == 0:
        there = ", ".join(f"{room.get(kind, 0):g} {kind}s" for kind in wanted)
        raise VqaudioError(
            f"the Ray cluster at {address} has {there}, and an actor needs {cpus} and {gpus:g}: "
            "add machines with `ray start --address`"
        )
    return most


def _anywhere(task: Task) -> Task:
    """The task, without paths that depend on where it is done."""
    model = task.model
    if model is not None and os.path.exists(model):
        model = os.path.abspath(model)
    sounds = tuple(sound._replace(location=_absolute(sound.location)) for sound in task.sounds)
    return task._replace(out=_absolute(task.out), sounds=sounds, model=model)


def _absolute(address: str) -> str:
    return address if is_remote(address) else os.path.abspath(address.removeprefix("file://"))


def _first_line(error: BaseException) -> str:
    with suppress(StopIteration):
        return next(line.strip() for line in str(error).splitlines() if line.strip())
    return type(error).__name__
