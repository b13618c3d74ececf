"""Batches made beside the training step that runs, on a stream of their own."""

from dataclasses import fields

import torch
from torch import Tensor

from vfimamba_cli.data.batches import TripletBatches
from vfimamba_cli.data.triplet import TripletBatch


class BatchesAhead:
    """`batches`, made in the gaps that the step's kernels leave on the device.

    Cutting and augmenting a batch are many kernels that are over before the next is launched.
    One after the other with those of the step they cost what launching them costs.
    """

    def __init__(self, batches: TripletBatches) -> None:
        self.batches = batches
        self.stream = None
        if batches.device.type == "cuda":
            self.stream = torch.cuda.Stream(batches.device)
            self.stream.wait_stream(torch.cuda.current_stream(batches.device))  # decoded footage

    def at(self, step: int, phase: int) -> TripletBatch:
        """The batch of `step`, drawn as in `phase`.

        What uses it on the current stream waits for it there.
        """
        if self.stream is None:
            return self.batches.at(step, phase)
        with torch.cuda.stream(self.stream):
            batch = self.batches.at(step, phase)
        current = torch.cuda.current_stream(self.batches.device)
        current.wait_stream(self.stream)
        for field in fields(batch):
            value = getattr(batch, field.name)
            if isinstance(value, Tensor):
                value.record_stream(current)  # its memory is in use there, too
        return batch
