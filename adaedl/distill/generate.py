"""Write teacher text: the target answers prompts that it makes up itself.

A chat model that is given an empty user turn writes a plausible one (Magpie, Xu et al.,
arXiv 2406.08464), so prompts come as varied as the model's own training was, with no list of topics.
Half of them are given their first word or two, because this model left alone mostly asks for rewriting.
All rows of a batch stand at the same position, which keeps the batched forward free of masks. The
features that the drafter reads are by-products of that forward and are stored with the tokens.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from adaedl.distill.corpus import Corpus
from adaedl.distill.prompts import OPENINGS
from adaedl.models.cpu import Rotary, pair_rotary_rows

TEMPERATURES = (0.0, 0.7, 1.0, 1.3)
TEMPERATURE_SHARES = (0.4, 0.27, 0.23, 0.1)
PROMPT_TEMPERATURE = 0.9  # varied, and mostly sensible
PROMPT_TOKENS = 64  # a longer invented prompt is cut off
NOISE_TABLE = 2**24
FEATURE_LAYERS = (8, 15, 22, 29, 30)


def product_dtype() -> torch.dtype:
    """What this processor multiplies matrices fastest in: bfloat16 where it has instructions for it
    (there it is twice as fast as float32, elsewhere nine times as slow), else float32."""
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


class BatchedTeacher:
    """The target for many sequences at once, all at the same position, in `product_dtype`.

    Text that is written in bfloat16 is as good a teacher as any: the drafter is judged, and decoding
    is verified, in float32."""

    def __init__(self, model, rows: int, capacity: int):
        config = model.config
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim, self.eps = config.head_dim, config.rms_norm_eps
        self.rotary = Rotary(self.head_dim, config.rope_parameters["rope_theta"])
        self.dtype = product_dtype()
        self.embeddings = model.get_input_embeddings().weight.detach()
        self.head = self.embeddings.to(self.dtype)
        self.final_norm = model.model.norm.weight.detach()
        self.layers = [self._weights(layer) for layer in model.model.layers]
        shape = (len(self.layers), 2, rows, self.kv_heads, capacity, self.head_dim)
        self.cache = torch.zeros(shape, dtype=self.dtype)
        self.length = 0

    def _weights(self, layer) -> tuple[Tensor, ...]:
        attention, mlp = layer.self_attn, layer.mlp
        q, k, v = (p.weight.detach() for p in (attention.q_proj, attention.k_proj, attention.v_proj))
        qkv = torch.cat((pair_rotary_rows(q, self.head_dim), pair_rotary_rows(k, self.head_dim), v))
        gate_up = torch.cat((mlp.gate_proj.weight.detach(), mlp.up_proj.weight.detach()))
        weights = (
            qkv * layer.input_layernorm.weight.detach(),
            attention.o_proj.weight.detach(),
            gate_up * layer.post_attention_layernorm.weight.detach(),
            mlp.down_proj.weight.detach(),
        )
        return tuple(w.to(self.dtype) for w in weights)

    def keep(self, rows: Tensor) -> None:
        """Make the batch of these rows [B] of the present one; a row may be taken many times."""
        self.cache = self.cache[:, :, rows].contiguous()

    @torch.inference_mode()
    def step(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Append token_ids [B]; logits [B, V] and features [B, layers, H] in float16."""
        rows, position = len(token_ids), self.length
        rotating = self.heads + self.kv_heads
        factors = self.rotary(position, 1)
        features = []
        x = self.embeddings[token_ids]
        for index, (qkv, attention_out, gate_up, down) in enumerate(self.layers):
            normed = F.rms_norm(x, x.shape[-1:], eps=self.eps)
            if index in FEATURE_LAYERS:
                features.append(normed.half())
            heads = F.linear(normed.to(self.dtype), qkv).view(rows, -1, self.head_dim)
            rotated = Rotary.apply(heads[:, :rotating].float(), factors).to(self.dtype)
            keys, values = self.cache[index, :, :rows]
            keys[:, :, position] = rotated[:, self.heads :]
            values[:, :, position] = heads[:, rotating:]
            queries = rotated[:, : self.heads].view(rows, self.kv_heads, -1, self.head_dim)
            end = position + 1
            attended = F.scaled_dot_product_attention(queries, keys[:, :, :end], values[:, :, :end])
            x = x + F.linear(attended.reshape(rows, -1), attention_out).float()
            normed = F.rms_norm(x, x.shape[-1:], eps=self.eps).to(self.dtype)
            gate, up = F.linear(normed, gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, down).float()
        self.length += 1
        hidden = F.rms_norm(x, x.shape[-1:], self.final_norm, self.eps)
        features.append(F.rms_norm(hidden, x.shape[-1:], eps=1e-5).half())
        return F.linear(hidden.to(self.dtype), self.head).float(), torch.stack(features, 1)


@dataclass
class Row:
    """One sequence being written. `forced` are tokens still to be fed as they are."""

    tokens: list[int]
    features: list[np.ndarray]
    forced: list[int]
    temperature: float
    prompt_length: int | None = None


def write_batch(model, tokenizer, rows: int, answer_tokens: int, seed: int) -> list[Row]:
    """One batch of sequences, prompts invented by the target and answered by it."""
    generator = torch.Generator().manual_seed(seed)
    # Fresh noise for every row, step and token costs more than the model: rows start somewhere random
    # in one long table instead. Good enough to write text with; decoding draws its noise afresh.
    table = -torch.log(-torch.log(torch.rand(NOISE_TABLE, generator=generator).clamp_(1e-20, 1 - 1e-7)))
    windows = table.unfold(0, model.config.vocab_size, 1)
    shares = torch.tensor(TEMPERATURE_SHARES)
    chosen = torch.multinomial(shares, rows, replacement=True, generator=generator).tolist()
    marked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "MARK"}], add_generation_prompt=True, tokenize=False
    )
    before, after = marked.split("MARK")
    opening = tokenizer(before, add_special_tokens=False).input_ids
    closing = tokenizer(after, add_special_tokens=False).input_ids
    end_of_turn = closing[0]
    capacity = len(opening) + PROMPT_TOKENS + len(closing) + answer_tokens
    words = [tokenizer(word, add_special_tokens=False).input_ids for word in OPENINGS]
    teacher = BatchedTeacher(model, 1, capacity)
    opened = [teacher.step(torch.tensor([token])) for token in opening]
    opened_features = [features[0].numpy() for _, features in opened]
    teacher.keep(torch.zeros(rows, dtype=torch.long))
    logits = opened[-1][0].expand(rows, -1)
    given = torch.randint(2 * len(words), (rows,), generator=generator).tolist()
    writing = [
        Row(list(opening), list(opened_features), list(words[g]) if g < len(words) else [], TEMPERATURES[c])
        for g, c in zip(given, chosen, strict=True)
    ]
    finished: list[Row] = []
    while writing:
        # The prompt is invented at its own temperature, the answer written at the row's.
        temperatures = torch.tensor(
            [r.temperature if r.prompt_length is not None else PROMPT_TEMPERATURE for r in writing]
        )
        starts = torch.randint(len(windows), (len(writing),), generator=generator)
        sampled = torch.addcmul(logits, temperatures[:, None], windows[starts]).argmax(-1).tolist()
        fed, keep = [], []
        for index, (row, token) in enumerate(zip(writing, sampled, strict=True)):
            if row.forced:
                token = row.forced.pop(0)
            elif row.prompt_length is None:
                invented = len(row.tokens) - len(opening)
                if token == end_of_turn or invented == PROMPT_TOKENS:
                    token, row.forced = end_of_turn, closing[1:]
            row.tokens.append(token)
            if row.prompt_length is None and not row.forced:
                if row.tokens[-len(closing) :] == closing:
                    row.prompt_length = len(row.tokens)
            elif row.prompt_length is not None and (
                token == end_of_turn or len(row.tokens) - row.prompt_length >= answer_tokens
            ):
                finished.append(row)
                continue
            keep.append(index)
            fed.append(token)
        if len(keep) < len(writing):
            teacher.keep(torch.tensor(keep, dtype=torch.long))
            writing = [writing[i] for i in keep]
        if not writing:
            break
        logits, features = teacher.step(torch.tensor(fed))
        for row, stored in zip(writing, features.numpy(), strict=True):
            row.features.append(stored)
    return [row for row in finished if row.prompt_length - len(opening) > len(closing) + 2]


def generate(model, tokenizer, folder: Path, tokens: int, rows: int, answer_tokens: int, seed: int) -> None:
    """Add batches to the corpus in `folder` until it holds `tokens` answer tokens."""
    corpus = Corpus(folder, FEATURE_LAYERS, model.config.hidden_size)
    with tqdm(total=tokens, initial=corpus.answer_tokens, unit="tok", desc="writing teacher text") as bar:
        while corpus.answer_tokens < tokens:
            # The seed moves with the corpus, so that an interrupted run goes on with new text.
            batch = write_batch(model, tokenizer, rows, answer_tokens, seed + corpus.sequences)
            before = corpus.answer_tokens
            corpus.append(
                (row.tokens, row.prompt_length, row.temperature, np.stack(row.features)) for row in batch
            )
            bar.update(corpus.answer_tokens - before)


def export_text(corpora: list[Corpus], path: Path) -> None:
    """Write the token sequences of corpora to a safetensors file that `import_text` reads: text takes hours
    to write, its features minutes to take again."""
    tokens = np.concatenate([corpus.tokens for corpus in corpora])
    save_file(
        {
            "tokens": torch.from_numpy(tokens),
            "length": torch.tensor([n for c in corpora for n in c.length], dtype=torch.int32),
            "prompt_length": torch.tensor([n for c in corpora for n in c.prompt_length], dtype=torch.int32),
            "temperature": torch.tensor([t for c in corpora for t in c.temperature], dtype=torch.float32),
        },
        path,
    )


@torch.inference_mode()
def import_text(model, path: Path, folder: Path) -> None:
    """Add token sequences from a safetensors file (`tokens` end to end, `length`, `prompt_length` and
    `temperature` of each) to the corpus in `folder`, with the features one forward pass gives."""
    text = load_file(path)
    corpus = Corpus(folder, FEATURE_LAYERS, model.config.hidden_size)
    lengths = text["length"].tolist()
    sequences = text["tokens"].to(torch.int32).split(lengths)
    chunk = 12
    for start in tqdm(
        range(corpus.sequences, len(lengths), chunk), unit="batch", desc="reading teacher text"
    ):
        ids = sequences[start : start + chunk]
        padded = torch.nn.utils.rnn.pad_sequence([i.long() for i in ids], batch_first=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=product_dtype() == torch.bfloat16):
            hidden = model.model(padded, output_hidden_states=True, use_cache=False).hidden_states
        features = [
            F.rms_norm(hidden[layer].float(), (corpus.shape[1],), eps=1e-5) for layer in FEATURE_LAYERS
        ]
        stacked = torch.stack(features, 2).half().numpy()
        corpus.append(
            (i.tolist(), text["prompt_length"][n].item(), text["temperature"][n].item(), rows[: len(i)])
            for n, (i, rows) in enumerate(zip(ids, stacked, strict=True), start)
        )
