"""What fixes a network's shape: everything needed to build it again from its weights."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

Mixer = Literal["s6", "none", "conv", "local_attention", "full_attention"]
Arrangement = Literal["interleaved", "sequential"]
ColumnMerge = Literal["published", "exact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Everything needed to build a VFIMamba network; stored beside its weights.

    Attributes:
        width: channels of the first stage; stage i has `width * 2**i`.
        depths: blocks per stage, finest first. The first three are convolutional.
        state: SSM state size N.
        local_blocks: IFBlocks that sharpen the flow after the coarse heads, coarsest first.
        mixer: what carries information between the frames in the last two stages (the paper's
            inter-frame ablation).
        rows, columns: how the two frames' tokens follow one another in the row and column scan
            orders (the paper's rearrangement ablation).
        column_merge: `published` puts column-order outputs back as the released network does,
            which is not where they were read; `exact` is the inverse of the reading order.
    """

    width: int
    depths: tuple[int, ...] = (2, 2, 2, 3, 3)
    state: int = 16
    local_blocks: int = 2
    mixer: Mixer = "s6"
    rows: Arrangement = "interleaved"
    columns: Arrangement = "interleaved"
    column_merge: ColumnMerge = "published"

    def __post_init__(self) -> None:
        if self.width <= 0 or self.width % 16:
            raise ValueError(f"width must be a positive multiple of 16, got {self.width}")
        if len(self.depths) != 5 or min(self.depths) < 1:
            raise ValueError(f"depths must be five positive numbers, got {self.depths}")
        if not 0 <= self.local_blocks <= 2:
            raise ValueError(f"local_blocks must be 0, 1 or 2, got {self.local_blocks}")
        for field, allowed in (
            ("mixer", Mixer),
            ("rows", Arrangement),
            ("columns", Arrangement),
            ("column_merge", ColumnMerge),
        ):
            if getattr(self, field) not in get_args(allowed):
                raise ValueError(
                    f"{field} must be one of {', '.join(get_args(allowed))}, "
                    f"got {getattr(self, field)!r}"
                )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels per pyramid level, finest (full size) first."""
        return tuple(self.width * 2**i for i in range(len(self.depths)))

    @property
    def alternates(self) -> bool:
        """Whether the two frames' tokens take turns in all scan orders, as published."""
        return self.rows == self.columns == "interleaved"

    @property
    def multiple_of(self) -> int:
        """Height and width of the frames a network runs on are multiples of this, in pixels."""
        return 1 << (len(self.depths) - 1)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `from_dict` takes them back."""
        return {**asdict(self), "depths": list(self.depths)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises `TypeError` or `ValueError` on unknown, missing or impossible values."""
        values = dict(values)
        if "depths" in values:
            values["depths"] = tuple(values["depths"])
        return cls(**values)


VFIMAMBA_S = ModelConfig(width=16)
VFIMAMBA = ModelConfig(width=32)
TINY = ModelConfig(width=16, depths=(1, 1, 1, 1, 1))
