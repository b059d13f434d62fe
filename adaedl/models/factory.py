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
    """Return the fastest runner for a loaded transformers model, on the device where it already is; `device`
    is for one that is on several, see `TransformersRunner`. `graphs` False captures no CUDA graphs; `consume`
    may take the model apart, which nobody else uses then; `measure` False leaves out the probe, for a model
    whose device is not there yet (see `check_stepwise`); `embeddings` are those that a packed model shares,
    see `PackedModel`.

    Raises:
        UserError: the model cannot be decoded in steps.
    """
    plain = runner = TransformersRunner(model, device)
    int8 = is_int8(model)
    probe = Probe(plain) if measure and not int8 else None  # before a runner takes the model apart
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
