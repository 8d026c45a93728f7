"""The convolutions of all discriminators."""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class Conv2d(nn.Module):
    """[B, C, H, W] -> [B, C', ceil(H / stride), ceil(W / stride)], weight-normalised.

    Odd kernels and enough zeros around: no input is too small, and nothing is cut off.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        assert all(size % 2 for size in kernel_size), "an even kernel has no middle"
        height, width = (d * (k // 2) for k, d in zip(kernel_size, dilation, strict=True))
        self.conv = weight_norm(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride=stride,
                dilation=dilation,
                padding=(height, width),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        stride = self.conv.stride[1]
        narrow = stride > 1 and x.shape[-1] <= stride
        if narrow:
            # oneDNN on AMX answers with what was in memory where a bfloat16 convolution with a
            # stride gives one column. Zeros to the right give a second one and change nothing else.
            x = F.pad(x, (0, stride))
        y: Tensor = self.conv(x)
        return y[..., :1] if narrow else y


class Layers(nn.Module):
    """[B, C, H, W] -> the outputs [B, C', H', W'] of all layers, first to last."""

    def __init__(self, convs: Iterable[Conv2d]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs = []
        for conv in self.convs:
            # Leaky, so that a waveform that is found out keeps a gradient; the slope of HiFi-GAN.
            x = F.leaky_relu(conv(x), 0.1, inplace=True)
            outputs.append(x)
        return tuple(outputs)
