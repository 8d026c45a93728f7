"""Codes as sequences for language models: one vocabulary, four patterns, each with its inverse."""

from vqaudio.patterns.pattern import PATTERNS, Pattern, arrange, find_pattern, restore
from vqaudio.patterns.vocabulary import Vocabulary

__all__ = ["PATTERNS", "Pattern", "Vocabulary", "arrange", "find_pattern", "restore"]
