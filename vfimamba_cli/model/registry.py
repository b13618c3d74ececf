"""Which networks exist, and what a checkpoint says of itself beyond its shape."""

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from vfimamba_cli.model.config import ModelConfig
from vfimamba_cli.model.vfimamba import VFIMamba

ChannelOrder = Literal["rgb", "bgr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What one must know to run a set of weights; stored in the checkpoint's header.

    Attributes:
        name: as `--model` takes it.
        config: the network's shape.
        channel_order: order of the colour channels the weights were trained with.
        arbitrary_time: whether timesteps other than 0.5 were trained. If not, the engine
            reaches other times by repeated halving.
    """

    name: str
    config: ModelConfig
    channel_order: ChannelOrder = "rgb"
    arbitrary_time: bool = False

    def __post_init__(self) -> None:
        if self.channel_order not in get_args(ChannelOrder):
            raise ValueError(f"channel_order must be rgb or bgr, got {self.channel_order!r}")

    def build(self) -> VFIMamba:
        """The network with fresh random weights, carrying this spec."""
        network = VFIMamba(self.config)
        network.spec = self
        return network

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `from_dict` takes them back."""
        return {
            "name": self.name,
            "config": self.config.to_dict(),
            "channel_order": self.channel_order,
            "arbitrary_time": self.arbitrary_time,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises `KeyError`, `TypeError` or `ValueError` on values that make no spec."""
        return cls(**{**values, "config": ModelConfig.from_dict(values["config"])})
