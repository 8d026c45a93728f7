"""Language models over tokens: the learned prior of a VQ-VAE (arXiv 1711.00937, section 3.3).

layout      where a pattern has which code
model       the transformer
sequences   tokens to learn from
windows     stretches and batches of them
train       from tokens to a prior
score       bits that held-out speech takes
sample      new tokens
coder       codes in as few bits as the prior is surprised
"""

from vqaudio.prior.coder import PriorCoder
from vqaudio.prior.compare import Comparison, compare
from vqaudio.prior.config import PriorConfig, PriorRecipe, load_prior_recipe
from vqaudio.prior.files import PriorFile, load_prior, save_prior
from vqaudio.prior.model import Prior
from vqaudio.prior.sample import Taste, sample
from vqaudio.prior.score import PriorScore, check_tokens, score
from vqaudio.prior.sequences import Sequence, TokenSet, read_token_set
from vqaudio.prior.train import train_prior

__all__ = [
    "Comparison",
    "Prior",
    "PriorCoder",
    "PriorConfig",
    "PriorFile",
    "PriorRecipe",
    "PriorScore",
    "Sequence",
    "Taste",
    "TokenSet",
    "check_tokens",
    "compare",
    "load_prior",
    "load_prior_recipe",
    "read_token_set",
    "sample",
    "save_prior",
    "score",
    "train_prior",
]
