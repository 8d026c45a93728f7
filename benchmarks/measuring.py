"""How the benchmarks measure: the best of several runs, peak memory, a fresh process for each."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch


def best(run: Callable[[], object], *, runs: int = 5, seconds: float = 10.0) -> float:
    """Seconds of the fastest run, after one that does not count.

    Of `runs` runs, or of as many as fit into `seconds`; of one at the least.
    """
    run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < runs and (not times or time.perf_counter() < end):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_memory() -> float:
    """MiB that this process has held at the most, since its start."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, KiB on Linux


def in_a_fresh_process(
    script: str, order: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Any:
    """What `python script --measure ORDER` prints as JSON in its last line, ORDER being JSON too.

    Raises RuntimeError with the last line of its errors when it fails.
    """
    done = subprocess.run(
        [sys.executable, script, "--measure", json.dumps(order)],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(lines[-1])
    return json.loads(done.stdout.splitlines()[-1])


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def machine(threads: int) -> str:
    """The processor, the number of threads and the release of torch, in one line."""
    return f"{_processor()}, {threads} threads, torch {torch.__version__}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
