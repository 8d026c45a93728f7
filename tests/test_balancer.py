"""The balancer: weights are fractions, whatever the scales, the batch size or the ranks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, multiprocessing
from torch import distributed as dist

from vqaudio.losses import Balanced, Balancer

WEIGHTS = {"near": 3.0, "far": 1.0}
STEPS = 12


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def losses(output: Tensor, *, scale: float = 1000.0) -> dict[str, Tensor]:
    """Two means over the batch, their gradients orthogonal: on even and on odd samples."""
    near = output[..., ::2].square().mean()
    return {"near": near, "far": scale * (output[..., 1::2] - 1).abs().mean()}


def balance(
    balancer: Balancer, *, step: int = 0, num_items: int = 2, scale: float = 1000.0
) -> Balanced:
    output = noise(num_items, 1, 64, seed=step).requires_grad_()
    return balancer(losses(output, scale=scale), output)


def test_contributions_are_as_the_weights_say() -> None:
    gradient = balance(Balancer(WEIGHTS, total_norm=2.0)).gradient
    assert gradient.shape == (2, 1, 64)
    # As if each item were the batch, and on average over items: hence the 2.
    for half, weight in ((gradient[..., ::2], 3), (gradient[..., 1::2], 1)):
        assert 2 * half.norm(dim=-1).mean().item() == pytest.approx(2.0 * weight / 4)


def test_the_direction_of_each_is_its_own() -> None:
    output = noise(2, 1, 64, seed=0).requires_grad_()
    given = losses(output)
    balanced = Balancer(WEIGHTS)(given, output)
    for name, part in (("near", slice(0, None, 2)), ("far", slice(1, None, 2))):
        (alone,) = torch.autograd.grad(given[name], output, retain_graph=True)
        norm = 2 * alone.norm(dim=-1).mean()
        torch.testing.assert_close(balanced.norms[name], norm)
        expected = WEIGHTS[name] / 4 * alone / norm
        torch.testing.assert_close(balanced.gradient[..., part], expected[..., part])


def test_the_scale_of_a_loss_changes_nothing() -> None:
    one, other = Balancer(WEIGHTS), Balancer(WEIGHTS)
    for step in range(3):
        a, b = (balance(x, step=step, scale=s) for x, s in ((one, 1.0), (other, 1000.0)))
        torch.testing.assert_close(a.gradient, b.gradient)
        torch.testing.assert_close(1000 * a.norms["far"], b.norms["far"])


def test_the_backward_pass_is_that_of_the_weighted_sum() -> None:
    """With one loss, it is the loss's own, but for its length."""
    weight = torch.tensor(0.5, requires_grad=True)
    output = weight * noise(2, 1, 64, seed=1)
    loss = (output - 1).square().mean()
    balanced = Balancer({"far": 1.0})({"far": loss}, output)
    assert not balanced.gradient.requires_grad
    (expected,) = torch.autograd.grad(loss / balanced.norms["far"], weight, retain_graph=True)
    (output * balanced.gradient).sum().backward()
    torch.testing.assert_close(weight.grad, expected)


def test_the_averages_are_exponential_and_corrected() -> None:
    """Against the sum written out."""
    balancer = Balancer({"far": 1.0}, decay=0.9)
    output = torch.zeros(1, 1, 4, requires_grad=True)
    seen: list[float] = []
    for size in (1.0, 2.0, 4.0, 3.0):
        balanced = balancer({"far": size * output.sum()}, output)
        seen.append(2 * size)
        decayed = [0.9**age for age in reversed(range(len(seen)))]
        average = sum(a * b for a, b in zip(seen, decayed, strict=True)) / sum(decayed)
        assert balanced.norms["far"].item() == pytest.approx(seen[-1])
        assert balanced.gradient.norm().item() == pytest.approx(seen[-1] / average)


def test_a_loss_left_out_waits_and_the_others_take_its_share() -> None:
    balancer = Balancer({**WEIGHTS, "late": 4.0})
    balanced = balance(balancer)
    assert balanced.norms.keys() == WEIGHTS.keys()
    assert 2 * balanced.gradient[..., ::2].norm(dim=-1).mean().item() == pytest.approx(3 / 4)
    assert balancer.counts.tolist() == [1, 1, 0]
    output = noise(2, 1, 64, seed=1).requires_grad_()
    # Its first norm is its average at once: no step is the larger for it.
    late = balancer({"late": 1e6 * output.mean()}, output)
    assert 2 * late.gradient.norm(dim=-1).mean().item() == pytest.approx(1.0)
    assert balancer.counts.tolist() == [1, 1, 1]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_no_number_is_seen_and_forgotten(bad: float) -> None:
    balancer = Balancer(WEIGHTS)
    for step in (0, 1):  # also before there is an average
        before = {name: value.clone() for name, value in balancer.state_dict().items()}
        balanced = balance(balancer, scale=bad)
        assert not balanced.gradient.isfinite().all()
        assert not balanced.norms["far"].isfinite()
        assert balancer.sums[1] == before["sums"][1]
        assert balancer.counts.tolist() == [before["counts"][0] * balancer.decay + 1, step]
        balancer.load_state_dict(before)
        assert balance(balancer).gradient.isfinite().all()


def test_a_loss_at_its_minimum_does_no_harm() -> None:
    output = torch.zeros(1, 1, 8, requires_grad=True)
    gradient = Balancer(WEIGHTS)(losses(output), output).gradient
    assert gradient[..., ::2].tolist() == [[[0.0] * 4]]
    assert gradient[..., 1::2].norm().item() == pytest.approx(1 / 4)


def test_the_batch_size_does_not_change_the_step() -> None:
    """The same item four times: a quarter of the gradient for each."""
    item = noise(1, 1, 64, seed=0)
    gradients = []
    for copies in (1, 4):
        output = item.repeat(copies, 1, 1).requires_grad_()
        gradients.append(Balancer(WEIGHTS)(losses(output), output).gradient)
    torch.testing.assert_close(gradients[1].sum(dim=0), gradients[0][0])


def test_a_resumed_run_goes_on_with_the_averages() -> None:
    balancer, resumed = Balancer(WEIGHTS), Balancer(WEIGHTS)
    for step in range(3):
        balance(balancer, step=step)
    resumed.load_state_dict(balancer.state_dict())
    a, b = balance(balancer, step=3), balance(resumed, step=3)
    assert torch.equal(a.gradient, b.gradient)
    assert not torch.equal(a.gradient, balance(Balancer(WEIGHTS), step=3).gradient)


def test_losses_may_share_a_graph_and_the_output_may_be_bfloat16() -> None:
    output = noise(2, 1, 64, seed=0).bfloat16().requires_grad_()
    shared = output.float().tanh()
    given: Mapping[str, Tensor] = {"near": shared.square().mean(), "far": shared.mean()}
    balanced = Balancer(WEIGHTS)(given, output)
    assert balanced.gradient.dtype == torch.float32
    assert balanced.gradient.isfinite().all()


def test_unknown_losses_are_the_authors_mistake() -> None:
    output = torch.zeros(1, 1, 8, requires_grad=True)
    with pytest.raises(AssertionError, match="unknown"):
        Balancer(WEIGHTS)({"other": output.sum()}, output)


def run(rank: int | None) -> list[Tensor]:
    """The gradient of each step on one item of two, or on both when `rank` is None; the state."""
    balancer = Balancer(WEIGHTS, decay=0.8)
    gradients = []
    for step in range(STEPS):
        output = noise(2, 1, 64, seed=step)
        output[1] *= 3  # the ranks would disagree without each other
        output = output if rank is None else output[rank : rank + 1]
        output.requires_grad_()
        given = losses(output, scale=torch.nan if step == 5 else 10.0 + step)
        if step % 3 == 2:
            del given["near"]
        gradients.append(balancer(given, output).gradient)
    return [*gradients, *balancer.state_dict().values()]


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        torch.save(run(rank), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


def test_two_ranks_balance_like_one_with_the_joined_batch(tmp_path: Path) -> None:
    multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(f"{tmp_path}/{rank}.pt") for rank in range(2))
    alone = run(None)
    for a, b in zip(first[STEPS:], second[STEPS:], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(first[STEPS:], alone[STEPS:], strict=True):
        torch.testing.assert_close(a, b)
    for a, b, both in zip(first[:STEPS], second[:STEPS], alone[:STEPS], strict=True):
        # Distributed training takes the mean over ranks.
        torch.testing.assert_close(torch.cat([a, b]) / 2, both, equal_nan=True)
