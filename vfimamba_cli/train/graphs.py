"""A training step's two passes as CUDA graphs: one launch each instead of thousands."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vfimamba_cli.data.triplet import TripletBatch

Measure = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
WARM_UP = 3
"""Passes before the recording: what is made once, or chosen by a trial, is made and chosen then."""


class PassGraphs:
    """Forward and backward pass of `measure`, recorded on a batch, replayed on others like it.

    The weights are read where they are, and so may change between replays; the gradients lie
    where they were recorded, and are overwritten by the next replay.

    Attributes:
        inputs: frames, times and target, which a batch is copied into.
        loss, error: what `measure` returned, of the last batch.
        gradients: of the parameters, with the strides of each.
    """

    def __init__(self, measure: Measure, parameters: Sequence[Tensor], batch: TripletBatch) -> None:
        self.parameters = list(parameters)
        self.inputs = tuple(x.clone() for x in (batch.frames, batch.t, batch.target))
        device = batch.frames.device
        pool, stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.differentiate(measure(*self.inputs)[0])
        torch.cuda.current_stream(device).wait_stream(stream)
        self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.forward, pool=pool, stream=stream):
            loss, self.error = measure(*self.inputs)
        with torch.cuda.graph(self.backward, pool=pool, stream=stream):
            self.gradients = self.differentiate(loss)
        self.loss = loss.detach()

    def differentiate(self, loss: Tensor) -> list[Tensor]:
        """The gradients, laid out as their parameters are: fused optimizers ask for that."""
        gradients = torch.autograd.grad(loss, self.parameters)
        return [
            gradient
            if gradient.stride() == parameter.stride()
            else torch.empty_like(parameter).copy_(gradient)
            for gradient, parameter in zip(gradients, self.parameters, strict=True)
        ]

    def run_forward(self, batch: TripletBatch) -> tuple[Tensor, Tensor]:
        """Loss and error of `batch`; they are overwritten by those of the next."""
        for place, values in zip(self.inputs, (batch.frames, batch.t, batch.target), strict=True):
            place.copy_(values)
        self.forward.replay()
        return self.loss, self.error

    def run_backward(self) -> None:
        """Give every parameter its gradient."""
        self.backward.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
