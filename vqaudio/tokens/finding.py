"""The token files below a folder."""

from __future__ import annotations

from pathlib import Path

from vqaudio.errors import TokensError
from vqaudio.tokens.formats import FORMATS


def find_token_files(folder: Path) -> list[Path]:
    """All below `folder`, sorted, hidden ones passed over. Raises TokensError without any."""
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in FORMATS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not found:
        raise TokensError(f"{folder} holds no token file ({' or '.join(FORMATS)})")
    return found
