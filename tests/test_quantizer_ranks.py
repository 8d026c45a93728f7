"""Two processes end with the codebooks of one process that sees both halves of each batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, multiprocessing, nn
from torch import distributed as dist

from vqaudio.quantizers import EmaCodebook, GradientCodebook, ResidualQuantizer

KINDS = {"ema": EmaCodebook, "gradient": GradientCodebook}
STEPS = 30


class Half(NamedTuple):
    """One item of a batch: x [1, T, D], mask [1, T]."""

    x: Tensor
    mask: Tensor


def halves(step: int) -> list[Half]:
    """A batch of two items of unequal length, sometimes zero; a jump of the data kills codes."""
    source = torch.Generator().manual_seed(step)
    x = 3.0 * torch.randn(2, 60, 8, generator=source) + (10.0 if step >= 14 else 0.0)
    lengths = torch.randint(20, 61, (2, 1), generator=source)
    if step in (0, 9, 16):  # the first ever, an ordinary one, one where codes are dead
        lengths[step % 2] = 0
    mask = torch.arange(60) < lengths
    return [Half(x[i : i + 1], mask[i : i + 1]) for i in range(2)]


class Outcome(NamedTuple):
    """What a run leaves."""

    state: dict[str, Tensor]
    codes: list[Tensor]
    restarts: Tensor
    collectives: list[int]
    """Per step."""


def run(kind: str, rank: int | None) -> Outcome:
    """All steps on one half of the batches, or on both when `rank` is None."""

    def make_codebook() -> nn.Module:
        return KINDS[kind](32, 8, decay=0.8, kmeans_iterations=4)

    quantizer = ResidualQuantizer(3, make_codebook, stagger=4)
    codes, restarts, collectives = [], torch.zeros(3, dtype=torch.int64), []
    for step in range(STEPS):
        batch = halves(step)
        used = batch if rank is None else [batch[rank]]
        # Not always a mask: without one a batch takes another path.
        mask = None if step % 3 == 2 else torch.cat([half.mask for half in used])
        with counting() as calls:
            answer = quantizer(torch.cat([half.x for half in used]), mask)
        collectives.append(len(calls))
        codes.append(answer.codes)
        restarts += answer.restarts
    return Outcome(dict(quantizer.state_dict()), codes, restarts, collectives)


@contextmanager
def counting() -> Iterator[list[Tensor]]:
    """The tensors that are summed over the ranks meanwhile."""
    calls: list[Tensor] = []
    usual = dist.all_reduce

    def all_reduce(tensor: Tensor) -> None:
        calls.append(tensor)
        usual(tensor)

    dist.all_reduce = all_reduce
    try:
        yield calls
    finally:
        dist.all_reduce = usual


def work(rank: int, folder: str) -> None:
    """One process: runs both kinds and leaves the outcomes in a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        outcomes = {kind: run(kind, rank)._asdict() for kind in KINDS}
        torch.save(outcomes, f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Outcome]]:
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(work, args=(str(folder),), nprocs=2)
    return [
        {kind: Outcome(**outcome) for kind, outcome in torch.load(folder / f"{rank}.pt").items()}
        for rank in range(2)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_agree_to_the_bit(outcomes: list[dict[str, Outcome]], kind: str) -> None:
    first, second = (outcome[kind] for outcome in outcomes)
    assert first.state.keys() == second.state.keys()
    for name, value in first.state.items():
        assert torch.equal(value, second.state[name]), name
    assert torch.equal(first.restarts, second.restarts)


@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_learn_what_one_learns(outcomes: list[dict[str, Outcome]], kind: str) -> None:
    alone = run(kind, None)
    for name, value in alone.state.items():
        for outcome in outcomes:
            torch.testing.assert_close(outcome[kind].state[name], value, rtol=1e-5, atol=1e-5)
    assert alone.restarts.sum() > 5, "hardly a restart: the test has lost its point"
    assert torch.equal(outcomes[0][kind].restarts, alone.restarts)
    for step in range(STEPS):
        both = torch.cat([outcome[kind].codes[step] for outcome in outcomes])
        assert torch.equal(both, alone.codes[step])


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_takes_two_collectives_however_many_levels(
    outcomes: list[dict[str, Outcome]], kind: str
) -> None:
    """Statistics of all levels, then the vectors of restarts; more only when a level starts."""
    for outcome in outcomes:
        assert outcome[kind].collectives[9:] == [2] * (STEPS - 9)
