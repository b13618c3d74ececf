import pytest
import torch

from vfimamba_cli.checkpoint.load import TINY_SPEC
from vfimamba_cli.errors import DeviceError
from vfimamba_cli.train import memory
from vfimamba_cli.train.distributed import Processes
from vfimamba_cli.train.memory import measure_cost, with_fitting_batch
from vfimamba_cli.train.objective import Objective
from vfimamba_cli.train.precision import choose_precision

CPU = torch.device("cpu")


def test_a_measured_step_leaves_no_gradient():
    objective = Objective(TINY_SPEC.build(), choose_precision(CPU))
    cost = measure_cost(objective, 1, 32, Processes(), print, compiled=True)
    assert (cost.crop, cost.samples, cost.how) == (32, 1, "eager")
    assert cost.seconds > 0
    assert all(parameter.grad is None for parameter in objective.parameters)


@pytest.mark.parametrize(
    ("compiled", "expected"),
    [(False, ["record", "passes"]), (True, ["compile", "record", "passes"])],
)
def test_a_step_is_measured_as_the_run_would_prepare_it(monkeypatch, compiled, expected):
    network = TINY_SPEC.build()
    network.kernels = True
    objective, done = Objective(network, choose_precision(CPU)), []
    monkeypatch.setattr(objective, "compile", lambda *_: done.append("compile"))
    monkeypatch.setattr(objective, "record", lambda *_: done.append("record"))
    monkeypatch.setattr(memory, "run_passes", lambda *_: done.append("passes"))
    measure_cost(objective, 1, 32, Processes(), print, compiled=compiled)
    assert done[: len(expected)] == expected


def failing(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("largest", "message", "hint"),
    [
        (2, "Too little memory on cpu for 8 samples of 32 x 32", "2 fit there: give --batch 2, or"),
        (8, "cpu ran out of memory, though 8 samples of 32 x 32 .* no room", "smaller videos"),
        (0, "Too little memory on cpu for 8 samples of 32 x 32", "Not even one fits"),
    ],
)
def test_memory_that_ran_out_is_laid_to_the_batch_only_where_that_does_not_fit(
    monkeypatch, largest, message, hint
):
    def run_passes(_, batch):
        if len(batch.t) > largest:
            raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(memory, "run_passes", run_passes)
    objective = Objective(TINY_SPEC.build(), choose_precision(CPU))
    with pytest.raises(DeviceError, match=message) as caught:
        with_fitting_batch(
            failing(torch.OutOfMemoryError("no room")), objective, 8, 32, Processes()
        )
    assert hint in caught.value.hint
