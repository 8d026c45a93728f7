"""How fast the tokenizer is beside others and beside what the machine can do at all.

    pip install 'vqaudio[bench]'
    python benchmarks/speed.py [--model MODEL] [--threads N] [--systems NAME ...] [--malloc]

Real-time factor: seconds of sound per second of computing, float32, noise in memory to codes and
codes to samples; files and resampling are not in it. It is the best of 5 runs (of fewer where they
take long) after one that does not count; a run of more than 3 s is the only one. What takes less
than 0.3 s is repeated that long in each run. Every figure comes from a process of its own. Memory
is what the peak of that process grew by from when the model was there and the sound or its codes
too. Start is from the call of Python until the first second of sound has codes; peers draw random
weights in that time, ours reads its file.

Peers are left out of sounds over a minute, unless --long: they hold all of a sound at once, 11 GiB
and more at ten minutes. --malloc adds the same table with glibc told to keep the memory that it was
given (MALLOC_MMAP_THRESHOLD_ and others), which peers gain much from: each of their layers asks for
new memory.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import best, in_a_fresh_process, machine, peak_memory, table
from peers import OURS, PEERS, System, build
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vqaudio.layers import can_pack

SECONDS = (10.0, 60.0, 3600.0)
"""Lengths of one sound. Of the first there is a batch, too."""
BATCH = 8
LONGEST_OF_PEERS = 60.0
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),  # 4 GiB: nothing is mapped by itself
    "MALLOC_TRIM_THRESHOLD_": str(2**32),  # and nothing is given back
    "MALLOC_TOP_PAD_": str(2**26),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="model file or name")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--systems", nargs="+", choices=[OURS, *PEERS], default=[OURS, *PEERS])
    parser.add_argument("--seconds", nargs="+", type=float, default=SECONDS, help="of one sound")
    parser.add_argument("--long", action="store_true", help="peers on sounds over a minute, too")
    parser.add_argument("--malloc", action="store_true", help="once more with glibc's settings")
    parser.add_argument("--quick", action="store_true", help="half a second: does it run?")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(**arguments.measure)))
        return

    print(f"{machine(arguments.threads)}, {arguments.device}, float32")
    settings: dict[str, dict[str, str]] = {"": {}}
    if arguments.malloc:
        settings["glibc keeps memory"] = MALLOC
    figures = {}
    for setting, environment in settings.items():
        figures[setting or "as it is"] = run(arguments, environment, setting)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def run(
    arguments: argparse.Namespace, environment: Mapping[str, str], setting: str
) -> dict[str, Any]:
    """All systems under one setting of the environment; prints the tables."""

    def ask(what: str, **order: Any) -> Any:
        order = {"what": what, "threads": arguments.threads, "device": arguments.device, **order}
        return in_a_fresh_process(__file__, order, environment)

    peaks = ask("peaks")
    title = f"\n## {setting}\n" if setting else ""
    print(f"{title}\n{', '.join(f'{name} {rate:.0f} GFLOP/s' for name, rate in peaks.items())}\n")
    lengths = [0.5] if arguments.quick else arguments.seconds
    loads = [(1, lengths[0]), (2 if arguments.quick else BATCH, lengths[0])]
    loads += [(1, seconds) for seconds in lengths[1:]]
    systems: dict[str, Any] = {}
    for name in arguments.systems:
        about = {"name": name, "model": arguments.model}
        try:
            found = {**ask("costs", **about), "start": ask("start", began=time.time(), **about)}
        except RuntimeError as error:
            print(f"{name} is left out: {error}\n")
            continue
        found["loads"] = {}
        for batch, seconds in loads:
            if name == OURS or seconds <= LONGEST_OF_PEERS or arguments.long:
                figures = ask("load", **about, batch=batch, seconds=seconds)
                found["loads"][f"{batch} x {seconds:g} s"] = figures
        systems[name] = found
    titles = [f"{batch} x {seconds:g} s" for batch, seconds in loads]
    print(costs_table(systems), rates_table(systems, titles), sep="\n\n", end="\n\n")
    print(memory_table(systems, titles), flush=True)
    return {"peaks": peaks, "systems": systems}


def costs_table(systems: Mapping[str, Any]) -> str:
    header = ["system", "parameters M", "tokens/s", "kbit/s", "GFLOP/s of sound, encode / decode"]
    rows = [
        [
            name,
            f"{found['parameters'] / 1e6:.1f}",
            f"{found['tokens_per_second']:.0f}",
            f"{found['bitrate'] / 1000:.2f}",
            f"{found['encode_gflop']:.2f} / {found['decode_gflop']:.2f}",
            f"{found['start']:.1f} s",
        ]
        for name, found in systems.items()
    ]
    return table([*header, "start"], rows)


def rates_table(systems: Mapping[str, Any], loads: list[str]) -> str:
    """Real-time factors, how many times ours is faster, the share of a matrix product."""

    def cell(name: str, load: str, way: str) -> str:
        rate = systems[name]["loads"].get(load, {}).get(way)
        if rate is None:
            return "not run"
        ours = systems.get(OURS, {}).get("loads", {}).get(load, {}).get(way)
        ratio = "" if ours is None or name == OURS else f" (1/{ours / rate:.0f})"
        return f"{rate:.3g}{ratio}"

    def share(name: str) -> str:
        found = systems[name]
        rates = found["loads"][loads[0]]
        ways = ("encode", "decode")
        return " / ".join(
            f"{100 * found[f'{way}_gflop'] * rates[way] / rates['matrix_product']:.0f} %"
            for way in ways
        )

    header = [f"{way} {load}" for load in loads for way in ("encode", "decode")]
    rows = [
        [name, *(cell(name, load, way) for load in loads for way in ("encode", "decode"))]
        for name in systems
    ]
    lines = [[*row, share(row[0])] for row in rows]
    return table(["real-time factor", *header, f"of the matrix product, {loads[0]}"], lines)


def memory_table(systems: Mapping[str, Any], loads: list[str]) -> str:
    def cell(found: Mapping[str, float] | None) -> str:
        return "not run" if found is None else f"{found['memory']:.0f}"

    rows = [
        [name, f"{found['model_memory']:.0f}", *(cell(found["loads"].get(load)) for load in loads)]
        for name, found in systems.items()
    ]
    return table(["peak memory, MiB", "model", *loads], rows)


def measure(what: str, threads: int, device: str, **order: Any) -> Any:
    """In this process: one order."""
    torch.set_num_threads(threads)
    if what == "peaks":
        return measure_peaks(device)
    began, load = order.pop("began", None), {k: order.pop(k, None) for k in ("batch", "seconds")}
    before = peak_memory()
    system = build(**order, device=device)
    model_memory = peak_memory() - before
    with torch.no_grad():
        if what == "costs":
            return {**measure_costs(system, device), "model_memory": model_memory}
        if what == "start":
            system.encode(noise(system, 1, 1.0, device))
            return time.time() - began
        return measure_load(system, **load, device=device)


def measure_peaks(device: str) -> dict[str, float]:
    """GFLOP/s, float32: of a product of two matrices, and of a convolution of kernel size 1."""
    channels, steps = 1024, 2048
    x = torch.randn(1, channels, steps, device=device)
    conv = nn.Conv1d(channels, channels, 1).to(device)
    with torch.no_grad():
        pointwise = best(lambda: finish(conv(x)), runs=10)
    return {
        "matrix product": matrix_product(device),
        "pointwise convolution": 2 * channels**2 * steps / pointwise / 1e9,
    }


def matrix_product(device: str) -> float:
    """GFLOP/s, float32, of a product of two matrices."""
    size = 2048
    a, b = torch.randn(2, size, size, device=device)
    return 2 * size**3 / best(lambda: finish(a @ b), runs=10) / 1e9


def measure_costs(system: System, device: str) -> dict[str, float]:
    """What a table needs of a system but times: GFLOP are per second of sound."""
    seconds = 2.0
    sound = noise(system, 1, seconds, device)
    codes, encode = count_flop(system, lambda: system.encode(sound))
    _, decode = count_flop(system, lambda: system.decode(codes))
    return {
        "parameters": sum(parameter.numel() for parameter in system.module.parameters()),
        "tokens_per_second": system.tokens_per_second,
        "bitrate": system.bitrate,
        "encode_gflop": encode / seconds / 1e9,
        "decode_gflop": decode / seconds / 1e9,
    }


def count_flop(system: System, compute: Callable[[], Any]) -> tuple[Any, float]:
    """What `compute` returns, and its floating-point operations, two for each multiply-add."""
    recurrent = 0  # torch does not count an LSTM

    def add(lstm: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        nonlocal recurrent
        assert isinstance(lstm, nn.LSTM)
        weights = sum(weight.numel() for weight in lstm.parameters() if weight.dim() == 2)
        recurrent += 2 * weights * inputs[0].numel() // lstm.input_size

    layers = [module for module in system.module.modules() if isinstance(module, nn.LSTM)]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    mapping = {}
    if can_pack(torch.zeros(1)):
        mapping[torch.ops.mkldnn._linear_pointwise] = packed_linear
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        result = compute()
    for hook in hooks:
        hook.remove()
    return result, counter.get_total_flops() + recurrent


def packed_linear(
    x: Sequence[int], *args: object, out_shape: Sequence[int] = (), **kwargs: object
) -> int:
    """FLOP of a linear layer whose weights oneDNN has packed, by shapes; torch does not know it."""
    return 2 * math.prod(x) * out_shape[-1]


def measure_load(system: System, batch: int, seconds: float, device: str) -> dict[str, float]:
    """Real-time factors, MiB, and the rate of a matrix product, as the machine is just then."""
    sound = noise(system, batch, seconds, device)
    system.decode(system.encode(sound[:1, : system.sample_rate]))  # what is only done once
    before = peak_memory()
    codes, encode = timed(lambda: finish(system.encode(sound)))
    _, decode = timed(lambda: finish(system.decode(codes)))
    memory = peak_memory() - before
    if device != "cpu":
        memory = torch.cuda.max_memory_allocated() / 2**20
    total = batch * seconds
    return {
        "encode": total / encode,
        "decode": total / decode,
        "memory": memory,
        "matrix_product": matrix_product(device),
    }


def timed(compute: Callable[[], Any]) -> tuple[Any, float]:
    """A result, and seconds: of the first run where it is a long one, else the best of others."""
    start = time.perf_counter()
    result = compute()
    first = time.perf_counter() - start
    if first > 3.0:
        return result, first
    # Short ones are repeated: the best of five moments would be luck.
    times = math.ceil(0.3 / first)
    return result, best(lambda: [compute() for _ in range(times)], seconds=3.0) / times


def noise(system: System, batch: int, seconds: float, device: str) -> Tensor:
    """[B, S] at the system's rate."""
    samples = round(seconds * system.sample_rate)
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(0)).to(device)


def finish(result: Any) -> Any:
    """Wait until the device has computed what was asked of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result


if __name__ == "__main__":
    main()
