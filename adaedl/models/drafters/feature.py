"""The feature drafter: one decoder layer that reads the target's hidden states (its network is in `net.py`),
and a vocabulary that grows with the text.
"""

import json
from bisect import bisect_right
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from adaedl.errors import UserError
from adaedl.models.cpu import backends
from adaedl.models.cpu.attention import StaticCache, causal_mask, grouped_query_attention
from adaedl.models.cpu.int8 import quantize
from adaedl.models.cpu.layer import Norm, PackedLayer
from adaedl.models.cpu.linear import PackedGate, PackedLinear, slowest_path
from adaedl.models.drafters.net import DrafterConfig, DrafterNet, ridge, unit_rms
from adaedl.models.drafters.text_memory import MATCH_BONUS, TextMemory
from adaedl.models.protocol import PREFILL_CHUNK, Runner
from adaedl.models.rotary import Rotary, default_frequencies, pair_rotary_rows


class FeatureDrafter:
    """The trained one-layer drafter on the device of its target; on a CPU its weights are packed.

    Its vocabulary is trimmed, and each text adds its own tokens (see text_memory.py). Training started from
    the target's embeddings as output rows. The output rows of tokens outside the trimmed vocabulary are a
    linear map of the target's embeddings, fitted by ridge regression to the trained rows.

    Args:
        int8: quantise the weights to int8.
    """

    kind = "feature"

    def __init__(
        self,
        net: DrafterNet,
        vocab: Tensor,
        target: Runner,
        embeddings: Tensor,
        int8: bool = False,
    ):
        self.config = net.config
        self.device = target.device
        self.vocab = vocab.to(self.device)
        self.index_of = {token: index for index, token in enumerate(vocab.tolist())}
        self.feature_layers = net.config.feature_layers
        self.max_context = target.max_context
        self.embeddings = embeddings
        # A drafter is small: float32 on every device keeps q the same, whatever the target's dtype.
        self._pack(net.float().to(self.device), int8)
        self.compiled = None
        if self.path == "kernels" and embeddings.dtype == torch.float32:
            self.compiled = self._compile()
        self.path += " int8" if int8 else ""
        head = net.head.weight.detach() * net.out_norm.detach()
        self.embedding_to_row = ridge(F.embedding(self.vocab, embeddings).float(), head)

    def _pack(self, net: DrafterNet, int8: bool) -> None:
        """Pack the network's weights for products of a few rows."""
        c = net.config

        def product(weight: Tensor, kind: type[PackedLinear] = PackedLinear) -> PackedLinear:
            if not int8:
                return kind(weight.detach())
            numbers, scale = quantize(weight.detach())
            return kind(numbers, None, scale[:, 0])

        self.from_token = product(net.from_token.weight)
        self.from_features = product(net.from_features.weight)
        self.from_own = product(net.from_own.weight)
        heads = [c.num_heads, c.num_kv_heads, c.num_kv_heads]
        queries, keys, values = net.qkv.weight.detach().split([count * c.head_dim for count in heads])
        paired = [pair_rotary_rows(queries, c.head_dim), pair_rotary_rows(keys, c.head_dim), values]
        unit = Norm(None, c.rms_norm_eps)  # the norms' weights are multiplied into the products' weights
        self.layer = PackedLayer(
            attention_norm=unit,
            qkv=product(torch.cat(paired) * net.attention_norm),
            attention_out=product(net.attention_out.weight),
            mlp_norm=unit,
            up=product(net.gate_up.weight * net.mlp_norm, PackedGate),
            down=product(net.down.weight),
        )
        self.head = product(net.head.weight.detach() * net.out_norm.detach())
        self.rotary = Rotary(default_frequencies(c.head_dim, c.rope_theta), device=self.device)
        self.path = slowest_path(
            [self.from_token, self.from_features, self.from_own, *self.layer.products, self.head]
        )

    def _compile(self):
        """Return the kernels' forward for the drafter."""
        c = self.config
        return backends.kernels().Forward(
            [self.layer],
            self.embeddings,
            Norm(None, c.rms_norm_eps),
            self.head,
            [self.rotary],
            heads=c.num_heads,
            kv_heads=c.num_kv_heads,
            head_dim=c.head_dim,
            eps=c.rms_norm_eps,
            widths=(self.from_features.packed.record.inputs,),
        )

    def start(self, prompt_ids: Tensor, features: Tensor, capacity: int) -> "FeatureSession":
        c = self.config
        cache = StaticCache(1, capacity, c.num_kv_heads, c.head_dim, self.device)
        session = FeatureSession(self, cache, GrowingVocab(self))
        session.words.append(prompt_ids)
        before = torch.cat((torch.zeros_like(features[:1]), features[:-1]))
        for first in range(0, len(prompt_ids), PREFILL_CHUNK):
            chunk = slice(first, first + PREFILL_CHUNK)
            self.append(cache, prompt_ids[chunk], self.from_features(before[chunk]))
        session.certain = cache.length
        return session

    def append(self, cache: StaticCache, token_ids: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Append the keys and values of token_ids [T] to the cache; return the stream [T, H] and the rotated
        queries [T, heads, d]. `seen` [T, H] is the projected feature or own output one position back."""
        start, end = cache.length, cache.length + len(token_ids)
        x, queries, keys, values = self.project(token_ids, seen, start)
        cached = cache.data[0, start:end]
        cached[:, 0] = keys
        cached[:, 1] = values
        cache.length = end
        return x, queries

    def project(self, token_ids: Tensor, seen: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the stream [T, H] of token_ids [T] at the positions first, first + 1, …, their rotated
        queries [T, heads, d], their rotated keys and their values, each [T, kv_heads, d]."""
        c = self.config
        embedded = unit_rms(F.embedding(token_ids, self.embeddings).float(), 1e-12)
        x = self.from_token.plus(embedded, seen)
        heads = self.layer.qkv(self.layer.attention_norm(x)).view(len(token_ids), -1, c.head_dim)
        rotating = c.num_heads + c.num_kv_heads
        rotated = Rotary.apply(heads[:, :rotating], self.rotary(first, len(token_ids)))
        return x, rotated[:, : c.num_heads], rotated[:, c.num_heads :], heads[:, rotating:]

    def finish(self, x: Tensor, attended: Tensor) -> tuple[Tensor, Tensor]:
        """Return the drafter's own output [T, H] and logits [T, Vq] from the stream x [T, H] and the output
        of attention [T, heads·d]."""
        x = self.layer.attention_out.plus(attended, x)
        x = self.layer.down.plus(self.layer.up(self.layer.mlp_norm(x)), x)
        own = unit_rms(x, self.config.rms_norm_eps)
        return own, self.head(own)


class GrowingVocab:
    """The drafter's vocabulary and the tokens that one text adds to it.

    Attributes:
        vocab: [Vq] the target's token ids.
        rows: [extra, H] the output rows of the text's own tokens.
        memory: finds the logits that the text itself raises.
    """

    def __init__(self, drafter: FeatureDrafter):
        self.drafter = drafter
        self.memory = TextMemory(drafter.index_of)
        self.vocab = drafter.vocab
        self.rows = drafter.embedding_to_row[:0]

    def append(self, token_ids: Tensor) -> None:
        """Add tokens [m] that became certain."""
        known = len(self.memory.extra)
        self.memory.append(token_ids.tolist())
        added = list(self.memory.extra)[known:]
        if added:
            d = self.drafter
            added_ids = torch.tensor(added, dtype=torch.long, device=d.device)
            self.vocab = torch.cat((self.vocab, added_ids))
            rows = F.embedding(added_ids, d.embeddings).float() @ d.embedding_to_row
            self.rows = torch.cat((self.rows, rows))

    def complete(self, own: Tensor, logits: Tensor, first: int, drafted: list[list[int]]) -> Tensor:
        """Return logits [N, Vq] over the whole vocabulary for N rows.

        Args:
            own: [N, H] the drafter's own output.
            logits: [N, trimmed] over the trimmed vocabulary.
            first: the certain text of the rows ends at the positions first, first + 1, …
            drafted: the tokens drafted after each row's certain text.
        """
        memory, index_of = self.memory, self.drafter.index_of
        trimmed = logits.shape[-1]
        if memory.extra:
            logits = torch.cat((logits, own @ self.rows.T), -1)
        indices, bonuses = [], []
        for row, drafts in enumerate(drafted):
            certain = first + row + 1
            known = bisect_right(memory.extra_since, certain)
            if known < len(memory.extra):
                logits[row, trimmed + known :] = -torch.inf
            for token, length in memory.followers(certain, drafts).items():
                index = index_of.get(token)
                index = trimmed + memory.extra[token] if index is None else index
                indices.append(row * logits.shape[-1] + index)
                bonuses.append(MATCH_BONUS * length)
        if indices:
            device = logits.device
            added = torch.tensor(bonuses, device=device)
            logits.view(-1).index_add_(0, torch.tensor(indices, device=device), added)
        return logits

    def copy(self) -> "GrowingVocab":
        clone = GrowingVocab(self.drafter)
        clone.memory, clone.vocab, clone.rows = self.memory.copy(), self.vocab, self.rows
        return clone


class FeatureSession:
    """One sequence being drafted. Cached positions up to `certain` have read the target's features; later
    positions have read the drafter's own output."""

    def __init__(self, drafter: FeatureDrafter, cache: StaticCache, words: GrowingVocab):
        self.drafter = drafter
        self.cache = cache
        self.words = words
        self.certain = 0
        self.own: Tensor | None = None
        self.drafted: list[int] = []

    @property
    def vocab(self) -> Tensor:
        return self.words.vocab

    def begin(self, token_ids: Tensor, features: Tensor) -> Tensor:
        self.cache.rewind(self.certain)
        self.words.append(token_ids)
        self.drafted = []
        self.certain = self.cache.length + len(token_ids)
        return self._append(token_ids, features, self.drafter.from_features)

    def extend(self, token_id: Tensor) -> Tensor:
        self.drafted.append(int(token_id))
        return self._append(token_id.view(1), self.own, self.drafter.from_own)

    def rewind(self, accepted: int) -> None:
        self.cache.rewind(self.certain)  # accepted drafts too were read without the target's features

    def _append(self, token_ids: Tensor, seen: Tensor, from_seen: PackedLinear) -> Tensor:
        """Append token_ids [T] and return the logits [Vq] for the next token. `seen` [T, F] are the target's
        features or the drafter's own output one position back, and `from_seen` projects them."""
        drafter = self.drafter
        if drafter.compiled:
            self.own, logits = drafter.compiled.draft(
                token_ids, self.cache, drafter.from_token.packed, seen, from_seen.packed
            )
        else:
            x, queries = drafter.append(self.cache, token_ids, from_seen(seen))
            attended = grouped_query_attention(queries[-1:], self.cache.data[0, : self.cache.length], None)
            self.own, logits = drafter.finish(x[-1:], attended)
        return self.words.complete(self.own, logits, self.certain - 1, [self.drafted])[0]

    def unroll(self, token_ids: Tensor, features: Tensor) -> "FeatureUnroll":
        """Append token_ids [N] as certain and draft after each of them, side by side, as if the text ended
        there. Arguments are as in `begin`."""
        self.cache.rewind(self.certain)
        self.words.append(token_ids)
        unroll = FeatureUnroll(self.cache, self.words.copy(), token_ids, features)
        self.certain = self.cache.length
        return unroll

    def copy(self) -> "FeatureSession":
        clone = FeatureSession(self.drafter, self.cache.copy(), self.words.copy())
        clone.certain, clone.own, clone.drafted = self.certain, self.own, self.drafted[:]
        return clone


class FeatureUnroll:
    """Drafts after each of the last N positions of a session, side by side. Each row sees the text up to its
    own position, then its own drafts.

    Attributes:
        logits: [N, Vq] for the next token of each row; −∞ for tokens that only later text adds to the
            vocabulary.
    """

    def __init__(self, cache: StaticCache, words: GrowingVocab, token_ids: Tensor, features: Tensor):
        self.drafter = words.drafter
        self.words = words
        self.vocab = words.vocab
        self.cache = cache
        self.rows = len(token_ids)
        self.first = cache.length
        self.shared = cache.data[0, : self.first + self.rows]
        self.drafted: list[list[int]] = [[] for _ in range(self.rows)]
        drafter, c = self.drafter, self.drafter.config
        # Keys and values of each row's own drafts.
        self.tails = cache.data.new_empty(self.rows, 8, 2, c.num_kv_heads, c.head_dim)
        if drafter.compiled:
            own, logits = drafter.compiled.draft(
                *(token_ids, cache, drafter.from_token.packed, features, drafter.from_features.packed),
                output_rows=self.rows,
            )
        else:
            x, queries = drafter.append(cache, token_ids, drafter.from_features(features))
            mask = causal_mask(self.rows, cache.length, c.num_heads // c.num_kv_heads)
            mask = None if mask is None else mask.to(x.device)
            own, logits = drafter.finish(x, grouped_query_attention(queries, self.shared, mask))
        self._complete(own, logits)

    def extend(self, token_ids: Tensor) -> Tensor:
        """Append one drafted token to each row, token_ids [N]; return the logits [N, Vq] for the next
        tokens."""
        drafter, drafts = self.drafter, len(self.drafted[0])
        if drafts == self.tails.shape[1]:
            self.tails = torch.cat((self.tails, torch.empty_like(self.tails)), 1)
        for drafted, token in zip(self.drafted, token_ids.tolist(), strict=True):
            drafted.append(token)
        if drafter.compiled:
            own, logits = drafter.compiled.draft(
                *(token_ids, self.cache, drafter.from_token.packed, self.own, drafter.from_own.packed),
                output_rows=self.rows,
                tails=self.tails,
                first=self.first,
                drafts=drafts,
            )
        else:
            seen = drafter.from_own(self.own)
            x, queries, keys, values = drafter.project(token_ids, seen, self.first + drafts + 1)
            self.tails[:, drafts, 0], self.tails[:, drafts, 1] = keys, values
            own, logits = drafter.finish(x, self._attend_with_tails(queries, drafts + 1))
        self._complete(own, logits)
        return self.logits

    def _complete(self, own: Tensor, logits: Tensor) -> None:
        self.own = own
        self.logits = self.words.complete(own, logits, self.first, self.drafted)

    def _attend_with_tails(self, queries: Tensor, drafts: int) -> Tensor:
        c = self.drafter.config
        queries = queries.unflatten(1, (c.num_kv_heads, -1)) / c.head_dim**0.5  # [N, kv_heads, group, d]
        own_keys, own_values = self.tails[:, :drafts].unbind(2)
        shared_keys, shared_values = self.shared.unbind(1)
        positions = torch.arange(len(self.shared), device=queries.device)
        later = positions > self.first + torch.arange(self.rows, device=queries.device)[:, None]
        scores = torch.einsum("nkgd,lkd->nkgl", queries, shared_keys)
        scores = scores.masked_fill(later[:, None, None], -torch.inf)
        own_scores = torch.einsum("nkgd,njkd->nkgj", queries, own_keys)
        weights = torch.cat((scores, own_scores), -1).softmax(-1)
        attended = torch.einsum("nkgl,lkd->nkgd", weights[..., : len(self.shared)], shared_values)
        attended += torch.einsum("nkgj,njkd->nkgd", weights[..., len(self.shared) :], own_values)
        return attended.flatten(1)


def read_drafter(path: Path | str) -> tuple[DrafterNet, Tensor]:
    """Return the network in a drafter's safetensors file, in float32, and its vocabulary [Vq].

    Raises:
        UserError: the file is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            "The drafter {} is missing from {}; restore it or choose another pair.", path.name, path.parent
        )
    with safe_open(path, "pt") as file:
        config = DrafterConfig.from_dict(json.loads(file.metadata()["config"]))
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    vocab = weights.pop("vocab").long()
    net = DrafterNet(config)
    net.load_state_dict(weights)
    return net.eval().requires_grad_(False), vocab


def load_feature_drafter(
    path: Path | str,
    target: Runner,
    embeddings: Tensor,
) -> FeatureDrafter:
    """Return the drafter in a safetensors file for a target with embeddings [V, H]. On a CPU where int8 is
    fast, its weights are quantised to int8: a draft step then takes less than half the time, and its drafts
    are nearly as good.

    Raises:
        UserError: the file is missing, or its drafter was trained for another target.
    """
    net, vocab = read_drafter(path)
    if net.config.hidden_size != embeddings.shape[1] or int(vocab.max()) >= target.vocab_size:
        raise UserError(
            "The drafter {} was trained for a target of width {}, not {}; choose the pair it was made for.",
            Path(path).name,
            net.config.hidden_size,
            embeddings.shape[1],
        )
    int8 = target.device.type == "cpu" and backends.multiplies_int8()
    return FeatureDrafter(net, vocab, target, embeddings, int8)
