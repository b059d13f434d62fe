"""Write teacher text: the target answers prompts that it invents itself.

Given an empty user turn, a chat model writes a plausible prompt (Magpie, Xu et al., arXiv 2406.08464). So
prompts are as varied as the model's training data, without a list of topics. Half of the prompts start
with a given word or two, because otherwise this model mostly asks for rewriting. The features that the
drafter reads are by-products of the target's forward and are stored with the tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from adaedl.distill.batched import FEATURE_LAYERS, BatchedTeacher, product_dtype
from adaedl.distill.corpus import Corpus
from adaedl.distill.prompts import OPENINGS
from adaedl.system.files import replacing

TEMPERATURES = (0.0, 0.7, 1.0, 1.3)
TEMPERATURE_SHARES = (0.4, 0.27, 0.23, 0.1)
PROMPT_TEMPERATURE = 0.9  # varied and mostly sensible
PROMPT_TOKENS = 64  # longer invented prompts are cut off
SHORTEST_PROMPT = 3  # in tokens; shorter prompts are discarded


@dataclass
class Row:
    """One sequence being written. `forced` are the next tokens if they are already decided, and
    `prompt_length` is 0 while the prompt is being written."""

    tokens: list[int]
    features: list[np.ndarray]
    forced: list[int]
    temperature: float
    prompt_length: int = 0


class Writer:
    """Writes sequences, `rows` at a time: prompts invented by the target, and its answers. When a sequence
    ends, the next one starts in its row."""

    def __init__(self, model, tokenizer, rows: int, answer_tokens: int, seed: int):
        self.generator = torch.Generator().manual_seed(seed)
        self.answer_tokens = answer_tokens
        marked = tokenizer.apply_chat_template(
            [{"role": "user", "content": "MARK"}], add_generation_prompt=True, tokenize=False
        )
        before, after = marked.split("MARK")
        self.opening = tokenizer(before, add_special_tokens=False).input_ids
        self.closing = tokenizer(after, add_special_tokens=False).input_ids
        self.words = [tokenizer(word, add_special_tokens=False).input_ids for word in OPENINGS]
        capacity = len(self.opening) + PROMPT_TOKENS + len(self.closing) + answer_tokens
        self.teacher = BatchedTeacher(model, rows, capacity, self.generator)
        # Every row reads the opening without its last token, and restarts after it.
        self.opening_features = [
            self.teacher.step(torch.full((rows,), token))[1][-1].numpy() for token in self.opening[:-1]
        ]
        self.rows = [self.new_row() for _ in range(rows)]

    def new_row(self) -> Row:
        words = self.words
        word = int(torch.randint(2 * len(words), (), generator=self.generator))
        temperature = int(torch.multinomial(torch.tensor(TEMPERATURE_SHARES), 1, generator=self.generator))
        forced = list(words[word]) if word < len(words) else []
        return Row(list(self.opening), list(self.opening_features), forced, TEMPERATURES[temperature])

    def write(self) -> Iterator[Row]:
        """Yield finished sequences indefinitely."""
        end_of_turn = self.closing[0]
        while True:
            hidden, features = self.teacher.step(torch.tensor([row.tokens[-1] for row in self.rows]))
            for row, stored in zip(self.rows, features.numpy(), strict=True):
                row.features.append(stored)
            # Prompts are invented at PROMPT_TEMPERATURE, and answers are written at the row's temperature.
            temperatures = [row.temperature if row.prompt_length else PROMPT_TEMPERATURE for row in self.rows]
            drawn = self.teacher.draw(hidden, torch.tensor(temperatures))
            for index, (row, token) in enumerate(zip(self.rows, drawn, strict=True)):
                if row.forced:
                    token = row.forced.pop(0)
                elif not row.prompt_length:
                    invented = len(row.tokens) - len(self.opening)
                    if token == end_of_turn or invented == PROMPT_TOKENS:
                        token, row.forced = end_of_turn, self.closing[1:]
                row.tokens.append(token)
                if not row.prompt_length:
                    if row.tokens[-len(self.closing) :] == self.closing:
                        row.prompt_length = len(row.tokens)
                elif token == end_of_turn or len(row.tokens) - row.prompt_length == self.answer_tokens:
                    if row.prompt_length >= len(self.opening) + SHORTEST_PROMPT + len(self.closing):
                        yield row
                    self.rows[index] = self.new_row()
                    self.teacher.restart(index, len(self.opening) - 1)


def generate(model, tokenizer, folder: Path, tokens: int, rows: int, answer_tokens: int, seed: int) -> None:
    """Append to the corpus in `folder` until it has `tokens` answer tokens."""
    corpus = Corpus(folder, FEATURE_LAYERS, model.config.hidden_size)
    # The seed depends on the size of the corpus, so that a resumed run writes new text.
    finished = Writer(model, tokenizer, rows, answer_tokens, seed + corpus.sequences).write()
    with tqdm(total=tokens, initial=corpus.answer_tokens, unit="tok", desc="writing teacher text") as bar:
        while corpus.answer_tokens < tokens:
            before = corpus.answer_tokens
            corpus.append(
                (row.tokens, row.prompt_length, row.temperature, np.stack(row.features))
                for row in islice(finished, rows)
            )
            bar.update(corpus.answer_tokens - before)


def export_text(corpora: list[Corpus], path: Path) -> None:
    """Write the token sequences of corpora to a safetensors file for `import_text`. The file has no features:
    writing text takes hours, but recomputing its features takes minutes."""
    tokens = np.concatenate([corpus.tokens for corpus in corpora])
    text = {
        "tokens": torch.from_numpy(tokens),
        "length": torch.tensor([n for c in corpora for n in c.length], dtype=torch.int32),
        "prompt_length": torch.tensor([n for c in corpora for n in c.prompt_length], dtype=torch.int32),
        "temperature": torch.tensor([t for c in corpora for t in c.temperature], dtype=torch.float32),
    }
    with replacing(path) as unfinished:
        save_file(text, unfinished)


@torch.inference_mode()
def import_text(model, path: Path, folder: Path) -> None:
    """Append the token sequences in a safetensors file to the corpus in `folder`, with features from a
    forward pass. The file has the concatenated `tokens`, and the `length`, `prompt_length` and `temperature`
    of each sequence."""
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
