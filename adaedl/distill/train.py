"""Train the drafter on teacher text: a closed-form initialisation, then distillation over several draft
steps.

The initialisation replaces most of the first million training tokens. The target's own last layer becomes the
drafter's layer. Ridge regression solves for the input projections, so that the layer's input is as close to
the input of the target's last layer as a linear map can make it.
"""

import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from adaedl.distill.batched import product_dtype
from adaedl.distill.corpus import Corpus
from adaedl.models.cpu.jit import sums_in_any_order
from adaedl.models.cpu.kernels.activations import exp
from adaedl.models.drafters.net import DrafterConfig, DrafterNet, ridge, unit_rms
from adaedl.models.rotary import cos_and_sin
from adaedl.system.files import replacing

VOCAB_SIZE = 12_288
INTERMEDIATE_SIZE = 2560  # of the MLP; with this vocabulary the file stays under 30 MB
BETA_WEIGHT = 2.0  # of 1 − β relative to the cross-entropy, because the drafter's purpose is acceptance
LOSS_ROWS = 256


@dataclass
class Teacher:
    """The parts of the target that training needs: embeddings [V, H] (tied with the head), final norm [H],
    and the last two layers."""

    embeddings: Tensor
    final_norm: Tensor
    layer_before: nn.Module
    last_layer: nn.Module
    config: Any

    @classmethod
    def of(cls, model) -> "Teacher":
        inner = model.model
        embeddings, final_norm = inner.embed_tokens.weight.detach(), inner.norm.weight.detach()
        layer_before, last_layer = inner.layers[-2:]
        return cls(embeddings, final_norm, layer_before, last_layer, model.config)

    def hidden(self, last_feature: Tensor) -> Tensor:
        """Return the target's normed hidden state [..., H] from its last feature, which is the same state
        without its scale."""
        feature = last_feature.float()
        return feature * torch.rsqrt((feature / self.final_norm).pow(2).mean(-1, keepdim=True))


def answer_positions(corpus: Corpus) -> np.ndarray:
    """Return the positions in a corpus whose next token is part of an answer."""
    spans = zip(corpus.offset, corpus.prompt_length, corpus.length, strict=False)
    return np.concatenate([np.arange(o + p - 1, o + n - 1) for o, p, n in spans])


def choose_vocab(
    corpora: list[Corpus],
    teacher: Teacher,
    vocab_size: int,
    generator: torch.Generator,
    keep: Tensor | None = None,
) -> Tensor:
    """Return the trimmed vocabulary [vocab_size] in ascending order. A token's score is its share of the
    emitted tokens plus its share of the target's probability mass on a sample of positions, and the tokens
    with the highest scores are chosen. Tokens in `keep` are always included."""
    size = len(teacher.embeddings)
    emitted, mass = torch.zeros(size), torch.zeros(size)
    for corpus in corpora:
        positions = answer_positions(corpus)
        emitted += torch.bincount(
            torch.from_numpy(corpus.tokens[positions + 1].astype(np.int64)), minlength=size
        )
        sample = torch.randperm(len(positions), generator=generator)[:4096].sort().values
        for rows in torch.from_numpy(positions)[sample].split(512):
            hidden = teacher.hidden(torch.from_numpy(corpus.features[rows.numpy(), -1]))
            mass += (hidden @ teacher.embeddings.T).softmax(-1).sum(0)
    share = emitted / emitted.sum() + mass / mass.sum()
    if keep is not None:
        share[keep] = torch.inf
    return share.topk(vocab_size).indices.sort().values


def widen(
    net: DrafterNet, vocab: Tensor, wider: Tensor, intermediate_size: int, teacher: Teacher
) -> DrafterNet:
    """Return a trained drafter with a wider output vocabulary, `wider` [V'], which includes its `vocab` [V],
    and a wider MLP. Its logits for `vocab` stay the same.

    The output rows of new tokens are a linear map of the target's embeddings that is fitted to the trained
    rows. New MLP neurons are copied from the target's last layer but one, with zero output weights.
    """
    config = replace(net.config, vocab_size=len(wider), intermediate_size=intermediate_size)
    trained, wide = net.state_dict(), DrafterNet(config)
    head = teacher.embeddings[wider] @ ridge(teacher.embeddings[vocab], trained["head.weight"])
    head[torch.isin(wider, vocab)] = trained["head.weight"]
    donor, extra = teacher.layer_before, intermediate_size - net.config.intermediate_size
    scale = donor.post_attention_layernorm.weight / trained["mlp_norm"]
    gate, up = trained["gate_up.weight"].chunk(2)
    gate = torch.cat((gate, donor.mlp.gate_proj.weight[:extra] * scale))
    up = torch.cat((up, donor.mlp.up_proj.weight[:extra] * scale))
    down = F.pad(trained["down.weight"], (0, extra))
    new = {"head.weight": head, "gate_up.weight": torch.cat((gate, up)), "down.weight": down}
    wide.load_state_dict({**trained, **new})
    return wide


def initialise(
    corpora: list[Corpus],
    teacher: Teacher,
    feature_layers: tuple[int, ...],
    vocab: Tensor,
    rows: int = 60_000,
) -> DrafterNet:
    """Return a drafter that is useful before any training; the docstring of this module explains how."""
    c = teacher.config
    net = DrafterNet(
        DrafterConfig(
            hidden_size=c.hidden_size,
            intermediate_size=c.intermediate_size,
            num_heads=c.num_attention_heads,
            num_kv_heads=c.num_key_value_heads,
            head_dim=c.head_dim,
            rms_norm_eps=c.rms_norm_eps,
            rope_theta=c.rope_parameters["rope_theta"],
            feature_layers=feature_layers,
            vocab_size=len(vocab),
        )
    )
    corpus = max(corpora, key=lambda corpus: corpus.answer_tokens)
    positions = answer_positions(corpus)
    positions = np.sort(np.random.default_rng(0).choice(positions, min(rows, len(positions)), replace=False))
    now = torch.from_numpy(corpus.features[positions]).float()
    before = torch.from_numpy(corpus.features[positions - 1]).float()
    embedded = unit_rms(
        teacher.embeddings[torch.from_numpy(corpus.tokens[positions].astype(np.int64))], 1e-12
    )
    expected = now[:, -2]  # the input of the target's last layer
    weights = ridge(torch.cat((embedded, before.flatten(1)), 1), expected)
    hidden = c.hidden_size
    # The drafter's own output, which replaces the features in a draft, approximates the last feature.
    own = unit_rms(teacher.hidden(before[:, -1]) / teacher.final_norm, 1e-12)
    own_weights = ridge(own, expected - embedded @ weights[:hidden])

    attention, mlp = teacher.last_layer.self_attn, teacher.last_layer.mlp
    # The drafter's stream has unit root mean square, so the layer's additions to it are scaled down, too.
    scale = stream_scale(teacher, corpus, positions[:512])
    with torch.no_grad():
        net.from_token.weight.copy_(weights[:hidden].T)
        net.from_features.weight.copy_(weights[hidden:].T)
        net.from_own.weight.copy_(own_weights.T)
        net.attention_norm.copy_(teacher.last_layer.input_layernorm.weight)
        net.mlp_norm.copy_(teacher.last_layer.post_attention_layernorm.weight)
        net.qkv.weight.copy_(
            torch.cat([p.weight for p in (attention.q_proj, attention.k_proj, attention.v_proj)])
        )
        net.attention_out.weight.copy_(attention.o_proj.weight / scale)
        net.gate_up.weight.copy_(torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight)))
        net.down.weight.copy_(mlp.down_proj.weight / scale)
        net.out_norm.copy_(teacher.final_norm)
        net.head.weight.copy_(teacher.embeddings[vocab])
    return net


def stream_scale(teacher: Teacher, corpus: Corpus, positions: np.ndarray) -> float:
    """Return the typical scale of the target's residual stream before its last layer: the scale with which
    the stored unit features, after that layer's MLP, best match the direction of the next feature."""
    mlp, norm = teacher.last_layer.mlp, teacher.last_layer.post_attention_layernorm
    with torch.no_grad():
        feature = torch.from_numpy(corpus.features[positions, -2]).float()
        added = mlp(norm(feature))
        expected = unit_rms(
            teacher.hidden(torch.from_numpy(corpus.features[positions, -1])) / teacher.final_norm, 1e-12
        )
        scales = torch.logspace(0, 3, 61)
        fits = [F.cosine_similarity(feature + added / s, expected, dim=-1).median() for s in scales]
    return float(scales[int(torch.stack(fits).argmax())])


@dataclass
class Batch:
    """Padded sequences: tokens [B, L], features [B, L, layers, H], and `predicts` [B, L], true at positions
    whose next token is predicted. These are the positions of answers and, with `prompts_from`, of prompts
    from that position on."""

    tokens: Tensor
    features: Tensor
    predicts: Tensor

    @classmethod
    def of(cls, picks: list[tuple[Corpus, int]], prompts_from: int | None = None) -> "Batch":
        sequences = [corpus.sequence(number) for corpus, number in picks]
        longest = max(len(tokens) for tokens, _ in sequences)
        features = torch.zeros(len(picks), longest, *sequences[0][1].shape[1:], dtype=torch.float16)
        tokens = torch.zeros(len(picks), longest, dtype=torch.long)
        predicts = torch.zeros(len(picks), longest, dtype=torch.bool)
        for row, ((corpus, number), (ids, stored)) in enumerate(zip(picks, sequences, strict=True)):
            tokens[row, : len(ids)] = ids
            features[row, : len(ids)] = stored
            first = corpus.prompt_length[number] - 1
            first = first if prompts_from is None else min(first, prompts_from)
            predicts[row, first : len(ids) - 1] = True
        return cls(tokens, features, predicts)


def unroll(
    net: DrafterNet,
    batch: Batch,
    embeddings: Tensor,
    steps: int,
    rounds_a_sequence: int,
    generator: torch.Generator | None = None,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Run the drafter as in decoding. The first draft of a round reads the target's features; it is computed
    at every position. Later drafts read the drafter's own output; they are computed for random rounds of each
    sequence.

    Returns:
        For draft 1, 2, … of a round, the drafter's own output [N, H], and the batch rows and positions [N].
    """
    c = net.config
    rows, length = batch.tokens.shape
    embedded = embeddings[batch.tokens]
    before = F.pad(batch.features[:, :-1], (0, 0, 0, 0, 1, 0)).flatten(2).float()
    cos, sin = cos_and_sin(torch.arange(length), c.head_dim, c.rope_theta)
    x = net.input(embedded, before, None)
    queries, keys, values = (t.transpose(1, 2) for t in net.project_qkv(x, cos[None], sin[None]))
    attended = F.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
    row, position = batch.predicts.nonzero(as_tuple=True)
    own = net.finish(x[row, position], attended.transpose(1, 2).flatten(2)[row, position])
    drafts = [(own, row, position)]
    if steps == 1:
        return drafts

    # Random rounds: `start` is the position of a round's first draft.
    start = torch.zeros(rows, rounds_a_sequence, dtype=torch.long)
    real = torch.zeros(rows, rounds_a_sequence, dtype=torch.bool)
    for index in range(rows):
        candidates = position[row == index][: -(steps - 1)]
        picked = candidates[torch.randperm(len(candidates), generator=generator)[:rounds_a_sequence]]
        start[index, : len(picked)] = picked
        real[index, : len(picked)] = True
    everywhere = own.new_zeros(rows, length, c.hidden_size).index_put((row, position), own)
    own = everywhere.gather(1, start[..., None].expand(-1, -1, c.hidden_size))
    group = c.num_heads // c.num_kv_heads
    keys, values = keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1)
    unseen = (torch.arange(length) > start[..., None])[:, None]
    own_keys, own_values = [], []
    real_row, real_round = real.nonzero(as_tuple=True)
    for step in range(1, steps):
        position = (start + step).clamp(max=length - 1)
        round_embedded = embedded.gather(1, position[..., None].expand(-1, -1, embedded.shape[-1]))
        x = net.input(round_embedded, None, own)
        query, key, value = net.project_qkv(x, cos[position], sin[position])
        own_keys.append(key.repeat_interleave(group, 2))
        own_values.append(value.repeat_interleave(group, 2))
        # Attention over positions with the target's features up to the round's start, then over drafts.
        scores = (query.transpose(1, 2) @ keys.transpose(2, 3)).masked_fill(unseen, -torch.inf)
        own_scores = torch.stack([(query * k).sum(-1).transpose(1, 2) for k in own_keys], -1)
        weights = (torch.cat((scores, own_scores), -1).float() / c.head_dim**0.5).softmax(-1)
        attended = (weights[..., :length].to(values.dtype) @ values).transpose(1, 2)
        for index, v in enumerate(own_values):
            attended = attended + weights[..., length + index].transpose(1, 2)[..., None] * v
        own = net.finish(x, attended.flatten(2).to(x.dtype))
        drafts.append((own[real_row, real_round], real_row, position[real_row, real_round]))
    return drafts


@sums_in_any_order
def compare(logits, teacher_logits, beta_weight):
    """Return the means over rows of the cross-entropy CE(p, q) and of β, given the logits of q and p [N, V].
    Overwrite `logits` with the gradient of CE − beta_weight·β: with m = 1[q < p], ∂CE/∂z = q − p and
    ∂β/∂z = q·m − q·Σ(q·m)."""
    rows, size = logits.shape
    cross_entropies, betas = 0.0, 0.0
    for row in range(rows):
        z, w = logits[row], teacher_logits[row]
        z_max, w_max = z[0], w[0]
        for i in range(size):
            z_max, w_max = max(z_max, z[i]), max(w_max, w[i])
        z_sum, w_sum, products = np.float32(0), np.float32(0), np.float32(0)
        for i in range(size):
            w[i] = exp(w[i] - w_max)
            w_sum += w[i]
            products += w[i] * (z[i] - z_max)
            z[i] = exp(z[i] - z_max)
            z_sum += z[i]
        below, rest = np.float32(0), np.float32(0)
        for i in range(size):
            z[i] /= z_sum
            w[i] /= w_sum
            below += z[i] if z[i] < w[i] else np.float32(0)
            rest += np.float32(0) if z[i] < w[i] else w[i]
        scale, push = np.float32(1 + beta_weight * below), np.float32(beta_weight)
        for i in range(size):
            z[i] = scale * z[i] - w[i] - (push * z[i] if z[i] < w[i] else np.float32(0))
        cross_entropies += np.log(z_sum) - products / w_sum
        betas += float(below + rest)
    return cross_entropies / rows, betas / rows


class DistillationLoss(torch.autograd.Function):
    """The mean over rows of cross-entropy(p, q) − BETA_WEIGHT·β, and the mean β. q is the softmax of x·headᵀ
    and p the softmax of teacher·rowsᵀ, for x and teacher [N, H], head and rows [V, H].

    Logits and their gradients are computed and used LOSS_ROWS rows at a time, because all of them would not
    fit into the cache.
    """

    @staticmethod
    def forward(ctx, x: Tensor, head: Tensor, teacher: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = x.to(rows.dtype), head.to(rows.dtype)
        x_gradient, head_gradient = torch.empty_like(x), torch.zeros_like(head)
        sums = torch.zeros(2, dtype=torch.double)
        for part, part_gradient, part_teacher in zip(
            x.split(LOSS_ROWS), x_gradient.split(LOSS_ROWS), teacher.split(LOSS_ROWS), strict=True
        ):
            logits = F.linear(part, weight).float()
            teacher_logits = F.linear(part_teacher.to(rows.dtype), rows).float()
            sums += len(part) * torch.tensor(compare(logits.numpy(), teacher_logits.numpy(), BETA_WEIGHT))
            gradient = logits.to(rows.dtype)
            torch.mm(gradient, weight, out=part_gradient)
            head_gradient += gradient.T @ part
        ctx.save_for_backward(x_gradient / len(x), head_gradient / len(x))
        cross_entropy, beta = (sums / len(x)).float()
        ctx.mark_non_differentiable(beta)
        return cross_entropy - BETA_WEIGHT * beta, beta

    @staticmethod
    def backward(ctx, gradient: Tensor, _) -> tuple[Tensor, Tensor, None, None]:
        x_gradient, head_gradient = ctx.saved_tensors
        return x_gradient * gradient, head_gradient * gradient, None, None


@dataclass
class Recipe:
    """Settings of a training run. The learning rates decay in the last `decay` share of `minutes`, and
    `dropout` is the share of feature values that each step sets to zero."""

    minutes: float = 120
    decay: float = 0.3
    sequences_a_step: int = 20
    draft_steps: int = 3
    rounds_a_sequence: int = 38
    matrix_rate: float = 1e-3
    head_rate: float = 3e-4
    dropout: float = 0.0
    prompts_from: int | None = None
    checkpoint_minutes: float = 5


def train(
    corpora: list[Corpus],
    usable: Callable[[Corpus, int], bool],
    teacher: Teacher,
    feature_layers: tuple[int, ...],
    recipe: Recipe,
    checkpoint: Path,
    output: Path,
    report: Callable[[str], None] = print,
    vocab_size: int = VOCAB_SIZE,
    intermediate_size: int = INTERMEDIATE_SIZE,
    start_from: tuple[DrafterNet, Tensor] | None = None,
) -> DrafterNet:
    """Start or continue training, for `recipe.minutes` in total, and return the drafter with averaged
    weights. Checkpoints contain everything that is needed to continue.

    Args:
        usable: whether a sequence may be used for training; sequences on held-out topics may not.
        output: the file for the averaged weights, written at every checkpoint.
        start_from: a trained drafter and its vocabulary to start from instead of the closed-form
            initialisation. It is widened to `vocab_size` and `intermediate_size` if it is narrower.
    """
    generator = torch.Generator().manual_seed(0)
    saved = Checkpoint.read(checkpoint) if checkpoint.exists() else None
    net, vocab = begin(
        corpora,
        teacher,
        feature_layers,
        generator,
        vocab_size=vocab_size,
        intermediate_size=intermediate_size,
        start_from=start_from,
        vocab=saved.vocab if saved else None,
    )
    run = Run(net, vocab, teacher, recipe, generator)
    if saved:
        run.restore(saved)
    batches = make_batches(corpora, usable, recipe, run.step)
    start = last_save = time.monotonic()
    seconds_before = saved.seconds if saved else 0.0

    def elapsed() -> float:
        return seconds_before + time.monotonic() - start

    def save() -> None:
        run.save(checkpoint, elapsed())
        save_drafter(run.average, vocab, output)

    sums: list[list[float]] = []
    while (progress := elapsed() / (60 * recipe.minutes)) < 1:
        rate = min(1.0, (run.step + 1) / 50, (1 - progress) / recipe.decay)
        sums.append(run.learn(next(batches), rate))
        if run.step % 25 == 0:
            means = " ".join(f"{b:.3f}" for b in np.mean(sums, 0))
            report(f"step {run.step}, {elapsed() / 60:.1f} min, rate {rate:.2f}: β by draft position {means}")
            sums.clear()
        if time.monotonic() - last_save > 60 * recipe.checkpoint_minutes:
            last_save = time.monotonic()
            save()
    save()
    return run.average


def begin(
    corpora: list[Corpus],
    teacher: Teacher,
    feature_layers: tuple[int, ...],
    generator: torch.Generator,
    *,
    vocab_size: int,
    intermediate_size: int,
    start_from: tuple[DrafterNet, Tensor] | None,
    vocab: Tensor | None,
) -> tuple[DrafterNet, Tensor]:
    """Return a drafter to train, and its vocabulary. Arguments are as in `train`; `vocab` is the vocabulary
    of a resumed run."""
    if vocab is None:
        trained_vocab = start_from[1] if start_from else None
        if trained_vocab is not None and len(trained_vocab) >= vocab_size:
            vocab = trained_vocab
        else:
            vocab = choose_vocab(corpora, teacher, vocab_size, generator, trained_vocab)
    net, trained_vocab = start_from or (initialise(corpora, teacher, feature_layers, vocab), vocab)
    if len(vocab) > len(trained_vocab) or intermediate_size > net.config.intermediate_size:
        net = widen(net, trained_vocab, vocab, intermediate_size, teacher)
    return net, vocab


def make_batches(
    corpora: list[Corpus], usable: Callable[[Corpus, int], bool], recipe: Recipe, seed: int
) -> Iterator[Batch]:
    """Yield batches of usable sequences indefinitely, and every sequence about equally often."""
    items = [
        (corpus, number) for corpus in corpora for number in range(corpus.sequences) if usable(corpus, number)
    ]
    random = np.random.default_rng(seed)
    order: list[int] = []
    while True:
        if len(order) < recipe.sequences_a_step:
            order = random.permutation(len(items)).tolist()
        picks = [items[order.pop()] for _ in range(recipe.sequences_a_step)]
        yield Batch.of(picks, recipe.prompts_from)


class Run:
    """A drafter in training, the running average of its weights, and its optimizers.

    Args:
        vocab: [V] the drafter's vocabulary.
        generator: chooses the random rounds.
    """

    def __init__(
        self,
        net: DrafterNet,
        vocab: Tensor,
        teacher: Teacher,
        recipe: Recipe,
        generator: torch.Generator,
    ):
        self.net = net.train().requires_grad_(True)
        self.average = copy.deepcopy(net).requires_grad_(False)
        self.vocab, self.teacher, self.recipe, self.generator = vocab, teacher, recipe, generator
        self.dtype = product_dtype()
        self.head_rows = teacher.embeddings[vocab].to(self.dtype)
        self.step = 0
        self._make_optimizers()

    def _make_optimizers(self) -> None:
        net, recipe = self.net, self.recipe
        matrices = [p for name, p in net.named_parameters() if p.dim() == 2 and not name.startswith("head")]
        norms = [p for p in net.parameters() if p.dim() == 1]
        # torch's Muon orthogonalises in bfloat16, which takes longer than the training itself on a processor
        # without instructions for bfloat16. There AdamW replaces it, because Muon's rates match AdamW's.
        if self.dtype == torch.bfloat16:
            self.muon = torch.optim.Muon(
                matrices, lr=recipe.matrix_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
            )
        else:
            self.muon = torch.optim.AdamW(
                matrices, lr=recipe.matrix_rate, betas=(0.9, 0.95), weight_decay=0.01
            )
        self.adam = torch.optim.AdamW(
            [
                {"params": [net.head.weight], "lr": recipe.head_rate},
                {"params": norms, "lr": recipe.matrix_rate},
            ],
            betas=(0.9, 0.95),
            weight_decay=0.0,
        )

    def restore(self, saved: "Checkpoint") -> None:
        """Continue from a checkpoint."""
        saved.restore(self.net, self.average, self.muon, self.adam)
        self.step = saved.step

    def save(self, path: Path, seconds: float) -> None:
        """Write a checkpoint; `seconds` is the duration of the training so far."""
        Checkpoint.write(path, self.net, self.average, self.muon, self.adam, self.vocab, self.step, seconds)

    def learn(self, batch: Batch, rate: float) -> list[float]:
        """Take a training step; return the mean β of each draft position. `rate` scales the recipe's learning
        rates."""
        recipe = self.recipe
        groups = [*self.muon.param_groups, *self.adam.param_groups]
        rates = [recipe.matrix_rate, recipe.head_rate, recipe.matrix_rate]
        for group, base in zip(groups, rates, strict=True):
            group["lr"] = base * rate
        loss, betas = self._loss(batch)
        self.muon.zero_grad()
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.muon.step()
        self.adam.step()
        self.step += 1
        self._average()
        return betas

    def _loss(self, batch: Batch) -> tuple[Tensor, list[float]]:
        recipe, net = self.recipe, self.net
        true_features = batch.features
        batch.features = F.dropout(batch.features, recipe.dropout)
        betas, loss = [], 0.0
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            drafts = unroll(
                net,
                batch,
                self.teacher.embeddings,
                recipe.draft_steps,
                recipe.rounds_a_sequence,
                self.generator,
            )
            for number, (own, row, position) in enumerate(drafts):
                hidden = self.teacher.hidden(true_features[row, position, -1])
                part, beta = DistillationLoss.apply(
                    own * net.out_norm, net.head.weight, hidden, self.head_rows
                )
                loss = loss + part * (1.0 if number == 0 else 0.4)
                betas.append(beta.item())
        return loss, betas

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(0.998, (1 + self.step) / (10 + self.step))
        for averaged, current in zip(self.average.parameters(), self.net.parameters(), strict=True):
            averaged.lerp_(current, 1 - keep)


class Checkpoint:
    """Everything that a run needs to continue, in one safetensors file."""

    def __init__(self, tensors: dict[str, Tensor], step: int, seconds: float):
        self.tensors, self.step, self.seconds = tensors, step, seconds
        self.vocab = tensors["vocab"]

    @staticmethod
    def write(path: Path, net, average, muon, adam, vocab: Tensor, step: int, seconds: float) -> None:
        tensors = {"vocab": vocab}
        for prefix, module in (("net", net), ("average", average)):
            tensors |= {f"{prefix}.{name}": t for name, t in module.state_dict().items()}
        for prefix, optimizer in (("muon", muon), ("adam", adam)):
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{prefix}.{index}.{name}": torch.as_tensor(t) for name, t in state.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            save_file(tensors, unfinished, metadata={"step": str(step), "seconds": str(seconds)})

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
        return cls(tensors, int(metadata["step"]), float(metadata["seconds"]))

    def restore(self, net, average, muon, adam) -> None:
        for prefix, module in (("net", net), ("average", average)):
            module.load_state_dict(self._under(prefix))
        for prefix, optimizer in (("muon", muon), ("adam", adam)):
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in self._under(prefix).items():
                index, key = name.split(".", 1)
                state.setdefault(int(index), {})[key] = tensor
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    def _under(self, prefix: str) -> dict[str, Tensor]:
        start = f"{prefix}."
        return {k.removeprefix(start): t for k, t in self.tensors.items() if k.startswith(start)}


def save_drafter(net: DrafterNet, vocab: Tensor, path: Path) -> None:
    """Write the drafter as float16 safetensors, with its configuration in the metadata."""
    tensors = {name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}
    metadata = {"format": "pt", "config": json.dumps(net.config.to_dict()), "license": "apache-2.0"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        save_file({**tensors, "vocab": vocab.int()}, unfinished, metadata=metadata)
