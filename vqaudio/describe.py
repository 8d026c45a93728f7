"""What there is to know about a model or a token file, as plain values and as lines of text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vqaudio.errors import TokensError
from vqaudio.tokens import Tokens, vqa
from vqaudio.tokens.formats import read_bytes

if TYPE_CHECKING:
    from torch import nn

    from vqaudio.checkpoint import Model
    from vqaudio.codec import AnyCodec, Codec
    from vqaudio.peers import Peer, PeerCodec
    from vqaudio.tokenizer import Tokenizer

UNITS = {
    "sample_rate": "Hz",
    "hop_length": "samples",
    "frame_rate": "frames/s",
    "tokens_per_second": "tokens/s",
    "bitrate": "bit/s",
    "bitrates": "bit/s",
    "receptive_field": "samples",
    "receptive_field_seconds": "s",
    "latency_seconds": "s",
    "seconds": "s",
    "payload_bitrate": "bit/s",
    "file_bitrate": "bit/s",
}
"""Of numbers, as the lines of text name them; in JSON they stand alone."""


def describe_codec(codec: Codec) -> dict[str, Any]:
    """Rates in Hz or 1/s, bitrates in bit/s by number of levels, spans in samples and seconds."""
    config = codec.config
    field = codec.receptive_field
    receptive_field = field.last - field.first + 1
    encoder, decoder = _count(codec.encoder), _count(codec.decoder)
    codebooks = sum(
        tensor.numel() for book in codec.quantizer.books for tensor in book.stored().values()
    )
    return {
        "family": config.backbone.family,
        "causal": config.causal,
        "codebook": config.quantizer.codebook,
        **_rates(codec),
        "encoder_parameters": encoder,
        "decoder_parameters": decoder,
        "codebook_values": codebooks,
        "parameters": encoder + decoder + codebooks,
        "receptive_field": receptive_field,
        "receptive_field_seconds": receptive_field / codec.sample_rate,
        "latency_seconds": codec.latency,
    }


def describe_peer(codec: PeerCodec) -> dict[str, Any]:
    """As `describe_codec`, of a codec of others, as far as it is known."""
    return {"family": codec.network.label, **_rates(codec), "parameters": _count(codec)}


def describe_model(model: Model | Peer | Tokenizer) -> dict[str, Any]:
    """What there is to know of its codec, its fingerprint, and what the training left in the file;
    of a codec of others where it comes from."""
    from vqaudio.codec import Codec
    from vqaudio.peers import PeerCodec

    match model.codec:
        case Codec() as codec:
            facts = describe_codec(codec)
        case PeerCodec() as peer:
            facts = describe_peer(peer)
        case other:
            facts = _rates(other)
    return {"fingerprint": model.fingerprint, **facts, "training": model.card}


def _rates(codec: AnyCodec) -> dict[str, Any]:
    levels = len(codec.codebook_sizes)
    return {
        "sample_rate": codec.sample_rate,
        "hop_length": codec.hop_length,
        "frame_rate": codec.frame_rate,
        "codebook_sizes": list(codec.codebook_sizes),
        "tokens_per_second": codec.frame_rate * levels,
        "bitrates": [codec.bitrate(n) for n in range(codec.min_codebooks, levels + 1)],
    }


def describe_tokens(tokens: Tokens) -> dict[str, Any]:
    """Rates in Hz or 1/s, the bitrate in bit/s, lengths in samples and seconds."""
    return {
        "model": tokens.model,
        "sample_rate": tokens.sample_rate,
        "frame_rate": tokens.frame_rate,
        "codebook_sizes": list(tokens.codebook_sizes),
        "num_frames": tokens.num_frames,
        "num_samples": tokens.num_samples,
        "seconds": tokens.seconds,
        "bitrate": tokens.bitrate,
        "source": None if tokens.source is None else tokens.source._asdict(),
    }


def describe_token_file(path: Path) -> dict[str, Any]:
    """As `describe_tokens`; of a .vqa file also its coder and bit/s as they are on the disk.

    The coder need not be here. Raises TokensError for a file that is missing, damaged or no tokens.
    """
    data = read_bytes(path)
    if not data.startswith(vqa.MAGIC):
        return describe_tokens(Tokens.from_bytes(data, str(path)))
    try:
        stream = vqa.take_apart(data)
        shape = len(stream.header["codebook_sizes"]), stream.num_frames
        tokens = Tokens.from_header(stream.header, np.broadcast_to(np.uint16(0), shape))
    except TokensError as error:
        raise TokensError(f"{path} cannot be used: {error}") from None
    return {
        **describe_tokens(tokens),
        "coder": stream.coder,
        **({"coder_fingerprint": stream.coder_fingerprint} if stream.coder_fingerprint else {}),
        "payload_bitrate": 8 * len(stream.payload) / tokens.seconds,
        "file_bitrate": 8 * len(data) / tokens.seconds,
    }


def to_lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    """One aligned line a value, in words and with its unit.

    >>> to_lines({"frame_rate": 50.0, "source": {"sample_rate": 8000}})
    ['frame rate  50 frames/s', 'source', '  sample rate  8000 Hz']
    """
    width = max(
        (len(name) for name, value in facts.items() if not isinstance(value, dict)), default=0
    )
    lines = []
    for name, value in facts.items():
        words = name.replace("_", " ")
        if isinstance(value, dict):
            lines += [f"{indent}{words}", *to_lines(value, indent + "  ")]
        else:
            has_unit = name in UNITS and isinstance(value, int | float | list)
            unit = f" {UNITS[name]}" if has_unit else ""
            lines.append(f"{indent}{words:<{width}}  {_text(value)}{unit}")
    return lines


def _text(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case list():
            return ", ".join(map(_text, value))
        case None:
            return "unknown"
        case _:
            return " ".join(str(value).split())  # a recipe's description may have several lines


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
