"""What a training step costs, and which batch fits where one does not."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch

from vfimamba_cli.data.triplet import TripletBatch
from vfimamba_cli.errors import DeviceError
from vfimamba_cli.ops.device import is_out_of_memory
from vfimamba_cli.train.distributed import Processes
from vfimamba_cli.train.objective import Objective
from vfimamba_cli.train.plan import Cost
from vfimamba_cli.train.sources import Announce

Result = TypeVar("Result")

OTHER_BATCH = "give --batch {}, or a smaller --crop"
"""What helps where a smaller batch fits; its size goes into the braces."""

TIMED = 3
"""Passes that are timed on a GPU, after some that are not."""


def random_batch(samples: int, crop: int, device: torch.device) -> TripletBatch:
    """Noise of the shapes of a batch."""
    pictures = torch.rand(3, samples, 3, crop, crop, device=device)
    half = torch.full((samples,), 0.5, device=device)
    return TripletBatch(frames=pictures[:2], target=pictures[2], t=half, origins=())


def measure_cost(
    objective: Objective,
    samples: int,
    crop: int,
    processes: Processes,
    announce: Announce,
    *,
    compiled: bool,
) -> Cost:
    """Of both passes on noise: of `samples` on a GPU, of one on a CPU.

    Args:
        compiled: whether to compile them where they are recorded, as a long run does.

    Raises:
        DeviceError: they do not fit, with the number that does.
    """
    device = objective.parameters[0].device
    on_gpu = device.type == "cuda"
    samples = samples if on_gpu else 1

    def work() -> Cost:
        objective.graphs = None
        batch = random_batch(samples, crop, device)
        if objective.network.kernels:
            if compiled:
                objective.compile(batch, announce)
            objective.record(batch, announce)
        run_passes(objective, batch)
        began, count = time.monotonic(), TIMED if on_gpu else 1
        for _ in range(count):
            run_passes(objective, batch)
        seconds = (time.monotonic() - began) / count / samples
        nbytes = torch.cuda.max_memory_allocated(device) if on_gpu else None
        how = str(objective)
        return Cost(crop=crop, samples=samples, how=how, seconds=seconds, nbytes=nbytes)

    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    return with_fitting_batch(work, objective, samples, crop, processes)


def run_passes(objective: Objective, batch: TripletBatch) -> None:
    """Forward and backward, to their end, leaving no gradient behind."""
    loss, _ = objective(batch)
    objective.backward(loss)
    objective.network.zero_grad(set_to_none=True)
    float(loss.detach())  # waits


def with_fitting_batch(
    work: Callable[[], Result],
    objective: Objective,
    samples: int,
    crop: int,
    processes: Processes,
    other_batch: str = OTHER_BATCH,
) -> Result:
    """Do `work` on `samples` a step in each process; where the memory is too small, say how many
    would fit.

    Args:
        other_batch: see `OTHER_BATCH`.

    Raises:
        DeviceError: the memory is too small.
    """
    try:
        return work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        said = str(error)
    # out of the handler, so that what the failed work held is free by now
    device = objective.parameters[0].device
    fitting = largest_fitting(objective, samples, crop)
    fewer = other_batch.replace("{}", str(fitting * processes.count))
    what = f"{samples} samples of {crop} x {crop} in a process"
    if fitting == samples:
        raise DeviceError(
            f"{device} ran out of memory, though {what} fit there by themselves: {said}",
            hint="A smaller --batch or --crop leaves more room, and so do smaller videos for --val "
            "and other programs that end",
        )
    raise DeviceError(
        f"Too little memory on {device} for {what}",
        hint=f"{fitting} fit there: {fewer}"
        if fitting
        else "Not even one fits there: give a smaller --crop, or another --device",
    )


def largest_fitting(objective: Objective, samples: int, crop: int) -> int:
    """Samples that both passes have room for, up to `samples`, by halving; 0 if not even one."""
    objective.graphs, device = None, objective.parameters[0].device
    objective.network.zero_grad(set_to_none=True)
    while samples:
        if device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            run_passes(objective, random_batch(samples, crop, device))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        else:
            return samples
        samples //= 2
    return 0
