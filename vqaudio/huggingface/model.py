"""Our codec as an audio tokenizer of `transformers`, with the calls of its MimiModel.

    model = VqaudioModel.from_tokenizer(vqaudio.load())
    inputs = model.feature_extractor(sounds, sampling_rate=16000, return_tensors="pt")
    codes = model.encode(**inputs).audio_codes                  # [B, Q, T]
    waveforms = model.decode(codes).audio_values                # [B, 1, T * hop_length]

Names of arguments and results are those of `transformers`. Sound is computed whole: for long
recordings, which `vqaudio.Tokenizer` cuts, memory grows with their length.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    DacFeatureExtractor,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import ModelOutput

from vqaudio.codec import Codec, CodecConfig
from vqaudio.errors import AudioError, ModelError, TokensError
from vqaudio.tokenizer import Tokenizer
from vqaudio.tokens.fitting import check_levels


class VqaudioConfig(PretrainedConfig):  # type: ignore[misc]
    """The configuration of a codec in that of a model of `transformers`."""

    model_type = "vqaudio"

    def __init__(self, codec: dict[str, Any] | None = None, **options: Any) -> None:
        """`codec` holds the values of a CodecConfig, as it is written to JSON."""
        super().__init__(**options)
        self.codec = codec or {}
        self.codec = self.parsed().model_dump(mode="json")  # with its defaults

    def parsed(self) -> CodecConfig:
        """As a codec is built from it. Raises ModelError when it describes none."""
        try:
            return CodecConfig.model_validate_json(json.dumps(self.codec))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ModelError(f"the configuration is of no codec: {place}: {first['msg']}") from None

    @property
    def sampling_rate(self) -> int:
        """Hz."""
        return self.parsed().sample_rate

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.parsed().backbone.hop_length

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sampling_rate / self.hop_length

    @property
    def codebook_size(self) -> int:
        """K."""
        return self.parsed().quantizer.codebook_size

    @property
    def num_quantizers(self) -> int:
        """Levels."""
        return self.parsed().quantizer.num_codebooks


@dataclass
class VqaudioEncoderOutput(ModelOutput):  # type: ignore[misc]
    audio_codes: Tensor | None = None
    """[B, Q, T] int64; 0 in frames that are nothing but padding."""


@dataclass
class VqaudioDecoderOutput(ModelOutput):  # type: ignore[misc]
    audio_values: Tensor | None = None
    """[B, 1, S]."""


@dataclass
class VqaudioOutput(ModelOutput):  # type: ignore[misc]
    audio_codes: Tensor | None = None
    """[B, Q, T] int64; 0 in frames that are nothing but padding."""
    audio_values: Tensor | None = None
    """[B, 1, S]."""


class VqaudioModel(PreTrainedModel):  # type: ignore[misc]
    """Waveforms [B, 1, S] to codes [B, Q, T] and back; T = ceil(S / hop_length)."""

    config_class = VqaudioConfig
    base_model_prefix = "vqaudio"
    main_input_name = "input_values"

    def __init__(self, config: VqaudioConfig) -> None:
        super().__init__(config)
        self.codec = Codec(config.parsed())
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing: our layers begin as they should."""

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer) -> VqaudioModel:
        """With the weights of a model of ours, on its device.

        Raises ModelError for a codec of others, which has a class of its own in `transformers`.
        """
        codec = tokenizer.codec
        if not isinstance(codec, Codec):
            raise ModelError("this is a codec of others: take its own class in transformers")
        model = cls(VqaudioConfig(codec.config.model_dump(mode="json")))
        model.codec.load_state_dict(codec.state_dict())
        model.to(tokenizer.device).eval()
        return model

    @classmethod
    def from_pretrained(cls, *arguments: Any, **options: Any) -> Any:
        """As of every model of `transformers`."""
        loaded = super().from_pretrained(*arguments, **options)
        (loaded[0] if isinstance(loaded, tuple) else loaded)._restore_constants()
        return loaded

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:
        """As of every model of `transformers`, with the feature extractor."""
        super().save_pretrained(save_directory, **options)
        self.feature_extractor.save_pretrained(save_directory)

    @property
    def feature_extractor(self) -> DacFeatureExtractor:
        """Sounds [S] to padded batches: `input_values` [B, 1, S] and `padding_mask` [B, S]."""
        return DacFeatureExtractor(
            sampling_rate=self.config.sampling_rate, hop_length=self.config.hop_length
        )

    def forward(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        num_quantizers: int | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Codes as by `encode`, and the sound that they make, as long as `input_values`."""
        codes = self.encode(input_values, padding_mask, num_quantizers).audio_codes
        values = self.decode(codes, padding_mask).audio_values[..., : input_values.shape[-1]]
        return self._result(VqaudioOutput(codes, values), return_dict)

    def encode(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        num_quantizers: int | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """[B, 1, S], [B, S] -> `audio_codes` [B, Q, T] of the first `num_quantizers` levels.

        What `padding_mask` marks with 0 is padding, at the end: it changes nothing.

        Raises TokensError for levels that the model lacks, AudioError for another shape, padding
        elsewhere or samples that are no numbers, ModelError for weights that are not float32.
        """
        check_levels(num_quantizers, self.config.num_quantizers)
        if input_values.ndim != 3 or input_values.shape[1] != 1 or not input_values.shape[2]:
            raise AudioError(f"input_values are [B, 1, S], not {list(input_values.shape)}")
        if not input_values.isfinite().all():
            raise AudioError("input_values hold a sample that is NaN or infinite")
        self._check_precision()
        num_samples = _lengths(padding_mask, input_values)
        codes = self.codec.encode(
            input_values.float(), num_samples, num_codebooks=num_quantizers
        ).clone()  # tensors of inference mode cannot be learned from
        if padding_mask is not None:
            codes.masked_fill_(~self.get_audio_codes_mask(padding_mask)[:, None], 0)
        return self._result(VqaudioEncoderOutput(codes), return_dict)

    def decode(
        self,
        audio_codes: Tensor,
        padding_mask: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """[B, Q, T] -> `audio_values` [B, 1, S]: T * hop_length, or as long as `padding_mask`.

        Frames that are padding by `padding_mask` [B, S], that of `encode`, change nothing, and are
        silent.
        """
        self._check_codes(audio_codes)
        num_frames = None
        if padding_mask is not None:
            num_frames = self.get_audio_codes_mask(padding_mask).sum(dim=-1)
        values = self.codec.decode(audio_codes, num_frames).clone()
        if padding_mask is not None:
            mask = padding_mask.reshape(len(values), 1, -1).bool()
            values = values[..., : mask.shape[-1]].masked_fill(~mask, 0.0)
        return self._result(VqaudioDecoderOutput(values), return_dict)

    def get_audio_codes_mask(self, padding_mask: Tensor) -> Tensor:
        """[B, S] -> [B, T] bool: the frames that hold some sound."""
        mask = padding_mask.reshape(len(padding_mask), -1)
        hop = self.config.hop_length
        num_frames = -(-mask.long().sum(dim=-1) // hop)
        frames = torch.arange(-(-mask.shape[-1] // hop), device=mask.device)
        has_sound: Tensor = frames < num_frames[:, None]
        return has_sound

    def _check_precision(self) -> None:
        """Raises ModelError: in fewer bits the codes would be others."""
        if self.dtype != torch.float32:
            raise ModelError(f"the model computes in float32, not {self.dtype}: model.float()")

    def _check_codes(self, codes: Tensor) -> None:
        """Raises TokensError for what are no codes of the model."""
        self._check_precision()
        sizes = self.codec.codebook_sizes
        if codes.ndim != 3 or codes.is_floating_point() or not 1 <= codes.shape[1] <= len(sizes):
            raise TokensError(
                f"audio_codes are integers [B, 1 to {len(sizes)}, T], not {codes.dtype} of "
                f"{list(codes.shape)}"
            )
        limits = torch.tensor(sizes[: codes.shape[1]], device=codes.device)[:, None]
        if ((codes < 0) | (codes >= limits)).any():
            raise TokensError(f"audio_codes from {codes.min()} to {codes.max()} fit no codebook")

    def _result(self, output: Any, return_dict: bool | None) -> Any:
        return output.to_tuple() if return_dict is False else output

    def _restore_constants(self) -> None:
        """Windows and grids are in no file, and `transformers` leaves them as memory was."""
        fresh, stored = Codec(self.codec.config), self.codec.state_dict()
        for name, constant in fresh.named_buffers():
            if name not in stored:
                self.codec.get_buffer(name).copy_(constant)


def _lengths(padding_mask: Tensor | None, input_values: Tensor) -> Tensor | None:
    """[B, S] -> [B]; None when nothing is padded. Raises AudioError."""
    if padding_mask is None:
        return None
    mask = padding_mask.reshape(len(padding_mask), -1).bool()
    if mask.shape != input_values[:, 0].shape:
        raise AudioError(
            f"padding_mask is [B, S], {list(input_values[:, 0].shape)}, not {list(mask.shape)}"
        )
    lengths = mask.sum(dim=-1)
    if not mask[:, 0].all() or (mask[:, 1:] & ~mask[:, :-1]).any():
        raise AudioError("padding_mask must be 1 for some sound and then 0: pad at the end")
    return None if mask.all() else lengths


AutoConfig.register(VqaudioConfig.model_type, VqaudioConfig)
AutoModel.register(VqaudioConfig, VqaudioModel)
AutoFeatureExtractor.register(VqaudioConfig, DacFeatureExtractor)
