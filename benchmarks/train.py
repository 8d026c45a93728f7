"""How fast training is here, beside what the machine can do at all.

    python benchmarks/train.py [--device DEVICE] [--threads N] [--seconds S] [--widths W ...]
                               [--compile] [--profile] [--layout]

Seconds of sound per second of computing in the training step of recipes/debian-speech.yaml: codec
forward, mel loss, backward, optimiser, average of the weights; batches of 16 x 1 s of noise that
are in memory already. The same in GFLOP/s, and as a fraction of a float32 matrix product measured
beside it; the goal is 40 %. Only matrix products and convolutions are counted as work: the
Fourier transforms, norms and activations of a step are in its time and not in its work. Steps and
products take turns, and the fastest of each count: other programs on the machine slow both down.
With --threads 1 on CPU the time of the process counts, with more threads that of the clock.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from vqaudio.losses import MultiScaleMelLoss
from vqaudio.recipe import Recipe, load_recipe
from vqaudio.train.stage import Stage
from vqaudio.train.start import make_networks

RECIPE = Path(__file__).parent.parent / "recipes" / "debian-speech.yaml"
BATCH, SAMPLES = 16, 16_000
WIDTHS = (128, 256, 512)
SIZE = 2048
"""Of the matrices whose product is taken for the peak."""


def fastest(
    runs: Sequence[Callable[[], object]], seconds: float, device: torch.device
) -> list[float]:
    """Seconds of the fastest call of each, called in turns for so many seconds, at least three
    times, after two turns that do not count."""
    # With one thread, that of the process leaves out the turns of other programs.
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    times: list[list[float]] = []
    for _ in range(10_000):
        turn = []
        for run in runs:
            start = clock()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            turn.append(clock() - start)
        times.append(turn)
        if len(times) >= 5 and sum(map(sum, times[2:])) > seconds:
            break
    return [min(column) for column in zip(*times[2:], strict=True)]


def make_recipe(width: int, precision: str, compiled: bool) -> Recipe:
    settings = {"codec.backbone.width": width, "precision": precision, "compile": compiled}
    return load_recipe(RECIPE, [f"{key}={value}" for key, value in settings.items()])


def make_step(recipe: Recipe, device: torch.device) -> Callable[[], None]:
    """A step as in vqaudio/train/loop.py, always on the same sound."""
    networks = make_networks(recipe, device, origin=None)
    codec = networks.codec
    codec.quantizer.updates.fill_(10_000)  # all levels from the first step on
    stage = Stage(recipe.stages[0], networks, parts_per_step=1)
    waveform = 0.1 * torch.randn(BATCH, 1, SAMPLES, device=device)
    in_bfloat16 = recipe.precision == "bfloat16"

    def step() -> None:
        stage.begin_step(recipe.stages[0].optimizer.warmup_steps)
        with torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16):
            output = codec(waveform)
        decoded = output.waveform[..., :SAMPLES]
        heard = decoded.detach().float().requires_grad_()
        assessment = stage.objective(heard, waveform, None)
        losses = {"commitment": output.commitment, "codebook_loss": output.codebook_loss}
        stage.learn_to_code(decoded, assessment.gradient, losses)
        stage.end_step()
        networks.average.update_parameters(codec)

    return step


def convolution_backward(
    gradient: Sequence[int],
    x: Sequence[int],
    weight: Sequence[int],
    *args: object,
    out_shape: object = None,
    **kwargs: object,
) -> int:
    """FLOP of both gradients, by shapes.

    torch 2.15 counts the gradient of a depthwise weight as that of a full one: 128 times too much
    for both together, in the ConvNeXt blocks of width 256.
    """
    return 2 * 2 * gradient[0] * math.prod(gradient[2:]) * math.prod(weight)


def work(recipe: Recipe, device: torch.device) -> float:
    """GFLOP of the matrix products and convolutions of a step.

    In one pass from the loss to the weights, because the counter does not bear a graph that is cut
    at the sound; the products are the same.
    """
    codec = make_networks(recipe, device, origin=None).codec.train()
    codec.quantizer.updates.fill_(10_000)
    mel_loss = MultiScaleMelLoss(codec.sample_rate, recipe.stages[0].loss.mel_windows).to(device)
    waveform = 0.1 * torch.randn(BATCH, 1, SAMPLES, device=device)
    codec(waveform)  # places the codes
    mapping = {torch.ops.aten.convolution_backward: convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        output = codec(waveform)
        loss = mel_loss(output.waveform[..., :SAMPLES], waveform) + output.commitment
        torch.autograd.backward(loss)
    return float(counter.get_total_flops()) / 1e9


def print_speeds(
    device: torch.device, seconds: float, widths: Sequence[int], *, compiled: bool
) -> None:
    a, b = torch.randn(2, SIZE, SIZE, device=device)

    def product() -> None:
        torch.mm(a, b)

    print("| width | precision | compile | x real time | GFLOP/s | of the float32 peak |")
    print("|---|---|---|---|---|---|")
    for width in widths:
        gflop = work(make_recipe(width, "float32", False), device)
        for precision in ("float32", "bfloat16"):
            for on in (False, True) if compiled else (False,):
                step = make_step(make_recipe(width, precision, on), device)
                # In turns, because other programs come and go.
                step_time, product_time = fastest([step, product], seconds, device)
                peak = 2 * SIZE**3 / 1e9 / product_time
                sound, rate = BATCH * SAMPLES / 16_000 / step_time, gflop / step_time
                print(
                    f"| {width} | {precision} | {'yes' if on else 'no'} | {sound:.1f} "
                    f"| {rate:.0f} | {rate / peak:.0%} of {peak:.0f} |",
                    flush=True,
                )


def print_profile(device: torch.device) -> None:
    """The operations that take longest, in a step of width 256."""
    step = make_step(make_recipe(256, "float32", False), device)
    for _ in range(2):
        step()
    activities = [ProfilerActivity.CPU]
    activities += [ProfilerActivity.CUDA] if device.type == "cuda" else []
    with profile(activities=activities) as found:
        for _ in range(3):
            step()
    order = f"self_{device.type}_time_total"
    print(found.key_averages().table(sort_by=order, row_limit=25, max_name_column_width=50))


def print_layouts(device: torch.device, seconds: float) -> None:
    """The pointwise layers of a ConvNeXt block: Linear on channels last, or convolutions with
    kernel 1 on channels first."""
    linear = nn.Sequential(nn.Linear(256, 768), nn.GELU(), nn.Linear(768, 256))
    convolution = nn.Sequential(nn.Conv1d(256, 768, 1), nn.GELU(), nn.Conv1d(768, 256, 1))
    print("\n| pointwise layers, forward and backward | ms | GFLOP/s |\n|---|---|---|")
    gflop = 3 * 2 * 16 * 50 * 2 * 256 * 768 / 1e9
    for name, layers, shape in (
        ("Linear, [16, 50, 256]", linear, (16, 50, 256)),
        ("Conv1d with kernel 1, [16, 256, 50]", convolution, (16, 256, 50)),
    ):
        layers.to(device)
        x = torch.randn(shape, device=device, requires_grad=True)

        def run(layers: nn.Module = layers, x: Tensor = x) -> None:
            layers(x).sum().backward()

        (duration,) = fastest([run], seconds, device)
        print(f"| {name} | {1e3 * duration:.2f} | {gflop / duration:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=10.0, help="per case")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="of the blocks")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--profile", action="store_true", help="what takes how long, and no more")
    parser.add_argument("--layout", action="store_true", help="Linear against Conv1d, and no more")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = torch.device(arguments.device)
    print(f"{platform.processor() or platform.machine()}, {arguments.threads} threads, {device}\n")
    if arguments.profile:
        print_profile(device)
    elif arguments.layout:
        print_layouts(device, arguments.seconds)
    else:
        print_speeds(device, arguments.seconds, arguments.widths, compiled=arguments.compile)


if __name__ == "__main__":
    main()
