"""How a video is written."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How a video is written.

    Attributes:
        crf: constant rate factor, lower is better; 0 is lossless in 8-bit H.264.
        preset: of libx264.
        overwrite: replace an existing file.
    """

    crf: int = 16
    preset: str = "medium"
    overwrite: bool = False
