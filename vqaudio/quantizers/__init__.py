"""Vector quantizers.

Shapes: N vectors, D latent dimension, K codes per book, Q codebooks. A codebook takes any number
of leading dimensions: speech [B, T, D], images [B, H, W, D], video [B, F, H, W, D].
"""

from vqaudio.quantizers.bridges import own_gradient, rotation, straight_through
from vqaudio.quantizers.codebook import Codebook, Quantized
from vqaudio.quantizers.ema import EmaCodebook
from vqaudio.quantizers.fsq import FsqGrid
from vqaudio.quantizers.gradient import GradientCodebook
from vqaudio.quantizers.projected import ProjectedCodebook, unit_length
from vqaudio.quantizers.residual import ResidualQuantized, ResidualQuantizer
from vqaudio.quantizers.search import nearest
from vqaudio.quantizers.usage import CodebookUsage, count_codes

__all__ = [
    "Codebook",
    "CodebookUsage",
    "EmaCodebook",
    "FsqGrid",
    "GradientCodebook",
    "ProjectedCodebook",
    "Quantized",
    "ResidualQuantized",
    "ResidualQuantizer",
    "count_codes",
    "nearest",
    "own_gradient",
    "rotation",
    "straight_through",
    "unit_length",
]
