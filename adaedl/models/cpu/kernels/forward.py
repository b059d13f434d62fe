"""The forward of a model with packed layers, in one call of the kernels."""

import ctypes
from itertools import accumulate

import torch
from torch import Tensor

from adaedl.models.cpu.kernels import team
from adaedl.models.cpu.kernels.packing import Packed, address_of, round_up
from adaedl.models.cpu.kernels.products import MAX_BLOCKS
from adaedl.models.cpu.kernels.records import (
    ACTIVATE,
    ACTIVATIONS,
    ADD,
    ADD_NORMED,
    ATTEND,
    ATTENDED,
    BRANCH,
    CAP,
    DENSE,
    FORWARDS,
    GATE,
    GATED,
    HEAD,
    PROJECT,
    ROTATE,
    SEEN,
    START,
    STORE,
    ForwardCall,
    NormRecord,
    Step,
    X,
)
from adaedl.models.cpu.kernels.team import thread_count
from adaedl.models.cpu.kernels.tiles import BLOCK, LANES, ROWS
from adaedl.models.cpu.memory import ALIGNED
from adaedl.models.protocol import Output


def norm_record(norm) -> ctypes.Structure:
    """Return a `Norm` or None as a `NormRecord` for the kernels."""
    if norm is None:
        return NormRecord()
    return NormRecord(True, address_of(norm.weight), address_of(norm.bias), norm.center, norm.eps)


def layer_steps(index: int, layer, rotaries: list) -> list[ctypes.Structure]:
    """Return a layer as `Step`s. The MLP of a parallel layer reads the stream before attention is added."""
    rotary = -1 if layer.rotary is None else layer.rotary
    rotation = {"rotary": rotary, "rotated": 0 if rotary < 0 else rotaries[rotary].rotated}
    heads_normed = layer.query_norm is not None or layer.key_norm is not None

    project = Step(
        kind=PROJECT,
        layer=index,
        column=index,
        norm=norm_record(layer.attention_norm),
        rotary=-1,
        product=layer.qkv.packed.record,
    )
    attention = [project]
    if heads_normed:
        norms = {"norm": norm_record(layer.query_norm), "key_norm": norm_record(layer.key_norm)}
        attention.append(Step(kind=ROTATE, layer=index, per_head=layer.norm_heads, **norms, **rotation))
    else:
        project.rotary, project.rotated = rotation.values()
    attention.append(Step(kind=ATTEND, layer=index, window=layer.window or 0))
    up = Step(
        kind=DENSE,
        source=X,
        to=GATED,
        column=-1,
        norm=norm_record(layer.mlp_norm),
        sink=GATE if layer.up.packed.gate else ACTIVATE,
        activation=ACTIVATIONS.index(layer.up.activation),
        product=layer.up.packed.record,
    )
    attention_out = _onto_stream(ATTENDED, layer.attention_out, layer.attention_out_norm)
    down = _onto_stream(GATED, layer.down, layer.mlp_out_norm)
    if layer.parallel:
        return [*attention, up, *attention_out, *down]
    return [*attention, *attention_out, up, *down]


def _onto_stream(source: int, product, norm) -> list[ctypes.Structure]:
    """Return the steps that add a product to the residual stream, after a norm if there is one."""
    step = Step(kind=DENSE, source=source, to=X, sink=ADD, column=-1, product=product.packed.record)
    if norm is None:
        return [step]
    step.to, step.sink = BRANCH, STORE
    return [step, Step(kind=ADD_NORMED, column=-1, norm=norm_record(norm))]


class Forward:
    """The forward of a model with packed layers, in one call of the kernels.

    Args:
        layers: PackedLayers.
        embeddings: [V, H] in float32, multiplied by `embedding_scale` as they are read.
        final_norm: a `Norm`.
        head: a PackedLinear.
        rotaries: the model's rotary embeddings; their tables grow on demand.
        eps: of the features' norm.
        widths: the numbers of inputs of products outside the layers.
        attention_scale: the factor of attention scores, 1/√d by default.
        attention_softcap, logit_softcap: the soft caps of scores and logits; None for no cap.
    """

    def __init__(
        self,
        layers: list,
        embeddings: Tensor,
        final_norm,
        head,
        rotaries: list,
        *,
        heads: int,
        kv_heads: int,
        head_dim: int,
        eps: float,
        widths: tuple[int, ...] = (),
        embedding_scale: float = 1.0,
        attention_scale: float | None = None,
        attention_softcap: float | None = None,
        logit_softcap: float | None = None,
    ):
        steps = [Step(kind=START), Step(kind=SEEN)]
        for index, layer in enumerate(layers):
            steps += layer_steps(index, layer, rotaries)
        sink = CAP if logit_softcap else STORE
        steps.append(
            Step(
                kind=HEAD,
                source=X,
                sink=sink,
                norm=norm_record(final_norm),
                product=head.packed.record,
                column=len(layers),
            )
        )
        self.steps = (Step * len(steps))(*steps)
        self.tensors = (layers, embeddings, final_norm, head)  # kept because the records hold their addresses
        self.rotaries = rotaries
        self.columns: dict[tuple[int, ...], ctypes.Array] = {}
        hidden, attended = embeddings.shape[1], heads * head_dim
        products = [step.product for step in steps]
        gated = max((step.product.inputs for step in steps if step.source == GATED), default=0)
        self.widths = (hidden, attended, attended, gated, hidden)  # of x, queries, attended, gated, branch
        self.max_blocks = max(-(-product.outputs // LANES) for product in products)
        self.fixed = ForwardCall(
            steps=ctypes.addressof(self.steps),
            step_count=len(steps),
            hidden=hidden,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            widest=max(*self.widths, *widths),
            embeddings=embeddings.data_ptr(),
            vocab_size=len(embeddings),
            eps=eps,
            embedding_scale=embedding_scale,
            attention_scale=attention_scale or head_dim**-0.5,
            attention_softcap=attention_softcap or 0,
            logit_softcap=logit_softcap or 0,
        )
        self.outputs = head.packed.record.outputs

    def __call__(self, token_ids: Tensor, cache, logits: str, feature_layers: tuple[int, ...]) -> Output:
        """Run `PackedModel.forward`."""
        f = ForwardCall.from_buffer_copy(self.fixed)
        rows = len(token_ids)
        logit_rows = {"all": rows, "last": min(rows, 1), "none": 0}[logits]
        features = None
        if feature_layers:
            if feature_layers not in self.columns:
                column_of = {layer: column for column, layer in enumerate(feature_layers)}
                columns = [column_of.get(layer, -1) for layer in range(self.steps[-1].column + 1)]
                self.columns[feature_layers] = (ctypes.c_int64 * len(columns))(*columns)
            features = torch.empty(rows, len(feature_layers) * f.hidden)
            f.features, f.feature_width = features.data_ptr(), features.shape[1]
            f.feature_columns = ctypes.addressof(self.columns[feature_layers])
        scores = self._run(f, token_ids, cache, logit_rows, features)
        return Output(None if logits == "none" else scores, features)

    def draft(
        self,
        token_ids: Tensor,
        cache,
        from_token: Packed,
        seen: Tensor,
        from_seen: Packed,
        output_rows: int = 1,
        tails: Tensor | None = None,
        first: int = 0,
        drafts: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """Return a feature drafter's own output [output_rows, H] and logits [output_rows, Vq] for the last of
        token_ids [T].

        Args:
            token_ids: [T], appended to the cache, unless there are `tails`.
            seen: [T, F] the target's features, or the drafter's own output, one position before each token.
            from_token, from_seen: the projections of the tokens' embeddings and of `seen` into the stream.
            output_rows: the number of last tokens to return outputs for.
            tails: [T, capacity, 2, kv_heads, d] keys and values of drafts side by side. Token i then follows
                the cache's position first + i and `drafts` earlier drafts in its own tail, and its keys and
                values are appended to the tail. The cache does not change.

        Raises:
            IndexError: the cache or the tails are too small, or a token is not in the vocabulary.
        """
        f = ForwardCall.from_buffer_copy(self.fixed)
        seen = seen.contiguous()
        own = torch.empty(output_rows, f.hidden)
        f.from_token, f.from_seen = from_token.record, from_seen.record
        f.seen, f.own = seen.data_ptr(), own.data_ptr()
        keep = (from_token, from_seen, seen, own, tails)
        if tails is None:
            return own, self._run(f, token_ids, cache, output_rows, keep)
        if drafts >= tails.shape[1]:
            raise IndexError(f"{drafts + 1} drafts in tails for {tails.shape[1]}")
        f.tails, f.tail_capacity, f.drafts = tails.data_ptr(), tails.shape[1], drafts
        return own, self._run(f, token_ids, cache, output_rows, keep, first + 1)

    def _run(
        self,
        f: ctypes.Structure,
        token_ids: Tensor,
        cache,
        logit_rows: int,
        keep=None,
        start: int | None = None,
    ) -> Tensor:
        """Append token_ids [T] to the cache or the tails; return the logits [logit_rows, V] of the last."""
        rows = len(token_ids)
        start = cache.length if start is None else start
        end = start + rows + f.drafts
        if not f.tails and end > cache.data.shape[1]:
            raise IndexError(f"{end} tokens in a cache for {cache.data.shape[1]}")
        for rotary in self.rotaries:
            rotary(start, end - start)  # extends its table up to `end`
        tables = [rotary.table for rotary in self.rotaries]
        rotaries = (ctypes.c_int64 * len(tables))(*map(address_of, tables))
        scores = torch.empty(logit_rows, self.outputs)
        work = 4 * max(MAX_BLOCKS * ROWS * BLOCK, f.head_dim)
        thread_bytes = round_up(work + 4 * (rows * (2 + f.widest + f.hidden) + end))
        sizes = [round_up(4 * rows * width) for width in self.widths]
        memory = torch.empty(sum(sizes) + ALIGNED + thread_count() * thread_bytes, dtype=torch.uint8)
        wrong_token = ctypes.c_int64(0)
        token_ids = token_ids.contiguous()
        f.token_ids, f.rows, f.start = token_ids.data_ptr(), rows, start
        f.cache, f.cache_layer = cache.data.data_ptr(), 4 * cache.data.stride(0)
        f.rotaries = ctypes.addressof(rotaries)
        f.logits, f.first_logits = scores.data_ptr() if logit_rows else 0, rows - logit_rows
        addresses = list(accumulate(sizes, initial=round_up(memory.data_ptr())))
        f.x, f.queries, f.attended, f.gated, f.branch, f.scratch = addresses
        f.scratch_bytes = thread_bytes
        f.wrong_token = ctypes.addressof(wrong_token)
        if rows:
            groups = -(-rows // ROWS)
            chunks = max(self.max_blocks * groups + 2, rows * f.heads)
            keep = (self, token_ids, cache.data, tables, rotaries, memory, wrong_token, scores, keep)
            team.run(FORWARDS, f, f.step_count, chunks, keep, quick=len(self.steps) < 16 and rows <= ROWS)
        if wrong_token.value:
            raise IndexError(f"a token of {token_ids.tolist()} is not one of {f.vocab_size}")
        if not f.tails:
            cache.length = end
        return scores
