"""Fixtures that several test files need."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import soundfile
from sounds import SAMPLE_RATE, babble

# The models of the tests are so small that threads mostly wait for each other: on two cores that
# are busy otherwise, minutes in place of seconds. Read when torch is imported; subprocesses too.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """<speaker>/<n>.wav: six speakers, three takes of 2 s each, 16 kHz. Not to be written to."""
    folder = tmp_path_factory.mktemp("speech")
    for speaker in range(6):
        (folder / f"speaker{speaker}").mkdir()
        for take in range(3):
            sound = babble(speaker, take, seconds=2.0)
            soundfile.write(folder / f"speaker{speaker}" / f"{take}.wav", sound, SAMPLE_RATE)
    return folder


@pytest.fixture
def torchaudio(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with a small model of three layers as the bundle TINY."""
    import torch

    try:
        import torchaudio
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"torchaudio does not import beside torch {torch.__version__}: {error}")

    def get_model() -> Any:
        torch.manual_seed(0)
        return torchaudio.models.wav2vec2_model(
            extractor_mode="group_norm",
            extractor_conv_layer_config=[(8, 10, 5)] + [(8, 3, 2)] * 4 + [(8, 2, 2)] * 2,
            extractor_conv_bias=False,
            encoder_embed_dim=16,
            encoder_projection_dropout=0.1,
            encoder_pos_conv_kernel=8,
            encoder_pos_conv_groups=2,
            encoder_num_layers=3,
            encoder_num_heads=2,
            encoder_attention_dropout=0.1,
            encoder_ff_interm_features=32,
            encoder_ff_interm_dropout=0.1,
            encoder_dropout=0.1,
            encoder_layer_norm_first=False,
            encoder_layer_drop=0.1,
            aux_num_out=None,
        )

    bundle = SimpleNamespace(get_model=get_model, sample_rate=16_000)
    monkeypatch.setattr(torchaudio.pipelines, "TINY", bundle, raising=False)
    return torchaudio


@pytest.fixture(scope="session")
def peer_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small codec of others, by its kind. Not to be written to."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        from peers import save

        if kind not in made:
            made[kind] = save(kind, tmp_path_factory.mktemp("peers") / kind)
        return made[kind]

    return get
