"""Choose the fastest runner for a loaded model."""

import torch

from adaedl.models.cpu.families import why_not_packed
from adaedl.models.cpu.int8_linear import is_int8
from adaedl.models.cpu.packed import PackedModel
from adaedl.models.cuda.graphs import can_graph, make_graphed
from adaedl.models.protocol import Runner
from adaedl.models.stepwise import Probe
from adaedl.models.transformers import TransformersRunner


def make_runner(
    model,
    device: torch.device | None = None,
    graphs: bool = True,
    consume: bool = False,
    measure: bool = True,
    embeddings: torch.Tensor | None = None,
) -> Runner:
    """Return the fastest runner for a loaded transformers model on its current device.

    Args:
        model: of transformers.
        device: for a model dispatched over several devices, see `TransformersRunner`.
        graphs: whether to capture CUDA graphs.
        consume: whether the model may be taken apart because nothing else uses it.
        measure: whether to run the probe; False for a model whose device is not available yet (see
            `check_stepwise`).
        embeddings: to share with a packed model, see `PackedModel`.

    Raises:
        UserError: the model cannot be decoded step by step.
    """
    plain = TransformersRunner(model, device)
    runner: Runner = plain
    int8 = is_int8(model)
    probe = Probe(plain) if measure and not int8 else None  # must run before a runner takes the model apart
    reason = why_not_packed(model)
    if plain.device.type == "cpu":
        plain.reason = reason
    if device is None and reason is None:
        runner = PackedModel(model, consume, embeddings)
    elif device is None and graphs and can_graph(model):
        runner = make_graphed(model) or plain
    if measure and int8:
        probe = Probe(plain, runner)
    if probe:
        probe.check(runner)
    return runner
