"""One stage of a run: what learns, how fast, and what for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vqaudio.codec import Codec
from vqaudio.quantizers import GradientCodebook
from vqaudio.quantizers.ranks import average_over_ranks
from vqaudio.recipe import StageConfig
from vqaudio.train.objective import Objective
from vqaudio.train.start import Networks

Tensors = tuple[Tensor, ...] | list[Tensor]


class Stage:
    """Optimisers and losses of a stage, as it begins; `load_state_dict` brings it to where it was.

    A decoder stage starts from the averaged weights, because the averaged encoder is the one whose
    codes must stay.
    """

    def __init__(self, config: StageConfig, networks: Networks, *, parts_per_step: int) -> None:
        self.config = config
        self.parts_per_step = parts_per_step
        codec, semantic = networks.codec, networks.semantic
        networks.average.multi_avg_fn = weight_average(
            config.optimizer.weight_ema, networks.average.n_averaged
        )
        codec.requires_grad_(True).train()
        if config.trains == "decoder":
            freeze_codes(codec, networks.averaged)
        self.learning = [p for p in codec.parameters() if p.requires_grad]
        if semantic is not None and config.loss.semantic:
            self.learning += semantic.parameters()
        self.optimizer = _adamw(self.learning, _codebooks(codec), config)
        self.judging = list(networks.discriminators.parameters()) if config.loss.judged else []
        self.discriminator_optimizer: Any = None
        if self.judging:
            self.discriminator_optimizer = torch.optim.AdamW(
                self.judging,
                lr=config.discriminator_optimizer.learning_rate,
                betas=config.discriminator_optimizer.betas,
                fused=True,
            )
        device = self.learning[0].device
        self.objective = Objective(config.loss, codec.sample_rate).to(device)
        self.asks_discriminators = self.hears_discriminators = False
        self.figures: dict[str, Tensor] = {}
        """The newest of each, for the log: some come in every n-th step only."""

    def begin_step(self, step: int) -> None:
        """`step` counts from 0 in the stage."""
        self.asks_discriminators = (
            bool(self.judging) and step % self.config.discriminator_optimizer.every == 0
        )
        self.hears_discriminators = step >= self.config.discriminator_optimizer.lead_steps
        factor = self.config.learning_rate_factor(step)
        self.learning_rate = factor * self.config.optimizer.learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        if self.asks_discriminators:
            for group in self.discriminator_optimizer.param_groups:
                group["lr"] = factor * self.config.discriminator_optimizer.learning_rate
            self.discriminator_optimizer.zero_grad(set_to_none=True)

    def learn_to_judge(self, loss: Tensor) -> None:
        """The gradient of the discriminators' loss, kept until `end_step`."""
        share = loss / self.parts_per_step
        torch.autograd.backward(share, inputs=self.judging, retain_graph=True)

    def learn_to_code(
        self, decoded: Tensor, gradient: Tensor, losses: Mapping[str, Tensor]
    ) -> None:
        """The gradient of all that the codec minimises, kept until `end_step`.

        `gradient` is that of the losses on sound with respect to `decoded`; the others come by
        name.
        """
        loss = (decoded * gradient).sum() + self.config.loss.commitment * losses["commitment"]
        loss = loss + losses["codebook_loss"]
        if "semantic" in losses:
            loss = loss + self.config.loss.semantic * losses["semantic"]
        torch.autograd.backward(loss / self.parts_per_step)

    def end_step(self) -> dict[str, Tensor]:
        """Follow the gradients; returns their norms, by the names of the log.

        A gradient that is no number changes nothing.
        """
        limit = self.config.optimizer.max_gradient_norm
        norms = {"gradient_norm": _step(self.optimizer, self.learning, limit)}
        if self.asks_discriminators:
            limit = self.config.discriminator_optimizer.max_gradient_norm
            norm = _step(self.discriminator_optimizer, self.judging, limit)
            norms["discriminator_gradient_norm"] = norm
        return norms

    def note(self, *found: Mapping[str, Tensor]) -> None:
        """Remember the figures of a step, by name."""
        for figures in found:
            self.figures |= {name: figure.detach() for name, figure in figures.items()}
        self.figures["learning_rate"] = torch.tensor(self.learning_rate)

    def state_dict(self) -> dict[str, Any]:
        state = {
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "figures": self.figures,
        }
        if self.judging:
            state["discriminator_optimizer"] = self.discriminator_optimizer.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.figures = dict(state["figures"])
        if self.judging:
            self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])


def freeze_codes(codec: Codec, averaged: Codec) -> None:
    """Let only the decoder of `codec` learn, from the averaged weights on.

    Levels are still dropped at random, so that all bitrates improve.
    """
    codec.load_state_dict(averaged.state_dict())
    codec.encoder.requires_grad_(False)
    codec.quantizer.requires_grad_(False)
    for book in codec.quantizer.codebooks:
        book.eval()


def weight_average(
    decay: float, num_averaged: Tensor
) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An exponential moving average that forgets the untrained weights.

    Its window is about a ninth of the steps so far, until that is the window of `decay`.
    """

    def update(averages: Tensors, weights: Tensors, count: Tensor | int) -> None:
        # Not `count`: that is num_averaged on the weights' device, and asking for it would wait.
        torch._foreach_lerp_(averages, weights, max(1 - decay, 9 / (10 + int(num_averaged))))

    return update


def _codebooks(codec: Codec) -> set[int]:
    """The ids of the parameters that are codes: decay would pull them to zero."""
    books = codec.quantizer.modules()
    return {id(book.weight) for book in books if isinstance(book, GradientCodebook)}


def _adamw(parameters: list[nn.Parameter], codebooks: set[int], config: StageConfig) -> Any:
    codes = [p for p in parameters if id(p) in codebooks]
    others = [p for p in parameters if id(p) not in codebooks]
    groups: list[dict[str, Any]] = [{"params": others}]
    if codes:
        groups.append({"params": codes, "weight_decay": 0.0})
    return torch.optim.AdamW(
        groups,
        lr=config.optimizer.learning_rate,
        betas=config.optimizer.betas,
        weight_decay=config.optimizer.weight_decay,
        fused=True,
    )


def _step(optimizer: Any, parameters: Sequence[nn.Parameter], max_norm: float) -> Tensor:
    """One step along the gradient over all ranks; returns its norm before it was cut."""
    for parameter in parameters:
        if parameter.grad is None:  # a level that has not started: the ranks' lists must agree
            parameter.grad = torch.zeros_like(parameter)
    average_over_ranks([p.grad for p in parameters if p.grad is not None])
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    # Fused optimisers read these two, meant for gradient scalers, on the device: a step with a
    # gradient that is no number is skipped, weights and moments stay, and nothing waits.
    optimizer.grad_scale = None
    optimizer.found_inf = (~norm.isfinite()).float()
    optimizer.step()
    return norm
