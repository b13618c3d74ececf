"""Passes recorded as CUDA graphs do what they do one operation after the other."""

import pytest
import torch

from vfimamba_cli.checkpoint.load import TINY_SPEC
from vfimamba_cli.data.triplet import TripletBatch
from vfimamba_cli.model.activation import ConvPReLU
from vfimamba_cli.ops.scan import Backend, cross_reference
from vfimamba_cli.train.objective import Objective
from vfimamba_cli.train.precision import Precision


def make_batch(device):
    frames = torch.rand(2, 2, 3, 32, 48, device=device)
    target, t = torch.rand(2, 3, 32, 48, device=device), torch.rand(2, device=device)
    return TripletBatch(frames=frames, target=target, t=t, origins=("a", "b"))


def objective_on(device, dtype=torch.float32):
    network = TINY_SPEC.build().to(device, memory_format=torch.channels_last)
    return Objective(network, Precision(device, dtype))


def passes(objective, batch):
    """Loss, error, and copies of all gradients."""
    loss, error = objective(batch)
    objective.backward(loss)
    gradients = [p.grad.clone() for p in objective.network.parameters()]
    objective.network.zero_grad(set_to_none=True)
    return loss.item(), error.item(), gradients


def stand_in(u, x_dbl, *, dtype, **_):
    """In the place of a scan of feature maps."""
    return (u * x_dbl.mean()).to(dtype)


def prelu_stand_in(x, bias, slope):
    """In the place of a convolution's bias and activation in one."""
    return torch.nn.functional.prelu(x + bias[:, None, None], slope)


def test_a_compiler_can_follow_the_whole_step(monkeypatch):
    monkeypatch.setattr(cross_reference, "cross_selective_scan", stand_in)
    objective, traced = objective_on(torch.device("cpu")), []
    objective.network.use_scan(Backend(name="maps", grid="cross_reference"))
    for module in objective.network.modules():
        if isinstance(module, ConvPReLU):
            module.biased_prelu = prelu_stand_in

    def run(module, inputs):
        traced.append(module)
        return module.forward

    compiled = torch.compile(objective.eager, fullgraph=True, dynamic=False, backend=run)
    batch = make_batch(torch.device("cpu"))
    loss, _ = compiled(batch.frames, batch.t, batch.target)
    assert len(traced) == 1
    torch.testing.assert_close(loss, objective(batch)[0], rtol=1e-4, atol=0)


@pytest.mark.gpu
def test_recorded_passes_read_new_batches_and_new_weights():
    device = torch.device("cuda", 0)
    objective, said = objective_on(device), []
    objective.record(make_batch(device), said.append)
    assert said == []
    graphs = objective.graphs
    assert "CUDA graphs" in str(objective)
    for _ in range(3):
        with torch.no_grad():
            for parameter in objective.network.parameters():
                parameter.mul_(1.05)
        batch = make_batch(device)
        objective.graphs = graphs
        loss, error, gradients = passes(objective, batch)
        objective.graphs = None
        true_loss, true_error, truth = passes(objective, batch)
        assert loss == pytest.approx(true_loss, rel=1e-4)
        assert error == pytest.approx(true_error, rel=1e-3)
        largest = max(gradient.norm() for gradient in truth)
        parameters = objective.network.parameters()
        for ours, expected, parameter in zip(gradients, truth, parameters, strict=True):
            assert ours.stride() == parameter.stride()
            assert (ours - expected).norm() <= 1e-2 * (expected.norm() + 0.1 * largest)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_nothing_is_recorded_on_a_cpu_or_with_a_loss_scale(dtype):
    cpu = torch.device("cpu")
    objective, said = objective_on(cpu, dtype), []
    objective.record(make_batch(cpu), said.append)
    assert objective.graphs is None
    assert str(objective) == "eager"
    assert said == []
