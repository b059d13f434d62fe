"""Measure a drafter on held-out prompts: greedy agreement and β by draft position.

Both are teacher-forced: a round starts at every position of an answer, and draft j follows the target's own
text. The drafter runs as in decoding: it reads features up to the start of the round and its own output after
that. Everything is computed in float32.
"""

from dataclasses import dataclass

import torch

from adaedl.distill.corpus import Corpus
from adaedl.distill.prompts import HELD_OUT_PROMPTS
from adaedl.distill.train import Teacher
from adaedl.models.drafters.feature import FeatureDrafter
from adaedl.models.protocol import Runner
from adaedl.sampling import acceptance_probability

DRAFT_STEPS = 4


@dataclass
class DrafterReport:
    """The results for the text that was written at one temperature.

    Attributes:
        text_temperature: of the text.
        positions: the number of rounds.
        agreement: by draft position 1, 2, …, the share of positions where argmax q is argmax p.
        beta: by draft position, the mean of β = Σ min(p, q) at temperature 1.
    """

    text_temperature: float
    positions: int
    agreement: list[float]
    beta: list[float]


@torch.inference_mode()
def write_answers(
    model, tokenizer, runner: Runner, corpus: Corpus, temperature: float, answer_tokens: int, seed: int
) -> None:
    """Write the target's answers to the held-out prompts at a temperature, with features, to a corpus."""
    torch.manual_seed(seed)
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
        for prompt in HELD_OUT_PROMPTS
    ]
    tokenizer.padding_side = "left"
    inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    )
    written = model.generate(**inputs, max_new_tokens=answer_tokens, **sampling)
    rows = []
    end = model.generation_config.eos_token_id
    for prompt, mask, row in zip(inputs.input_ids, inputs.attention_mask, written, strict=True):
        prompt = prompt[mask.bool()].tolist()
        answer = row[inputs.input_ids.shape[1] :].tolist()
        answer = answer[: answer.index(end) + 1] if end in answer else answer
        ids = torch.tensor(prompt + answer)
        features = runner.forward(ids, runner.new_cache(len(ids)), "none", corpus.feature_layers).features
        assert features is not None
        rows.append((ids.tolist(), len(prompt), temperature, features.view(len(ids), *corpus.shape).numpy()))
    corpus.append(rows)


@torch.inference_mode()
def evaluate(drafter: FeatureDrafter, teacher: Teacher, corpus: Corpus) -> list[DrafterReport]:
    """Return one report per temperature in a corpus of held-out answers."""
    reports = []
    for temperature in sorted(set(corpus.temperature)):
        agreement, beta, counts = (torch.zeros(DRAFT_STEPS) for _ in range(3))
        for number in range(corpus.sequences):
            if corpus.temperature[number] != temperature:
                continue
            tokens, stored = corpus.sequence(number)
            features = stored.flatten(1).float()
            prefix = corpus.prompt_length[number] - 1  # tokens before the token that the first draft follows
            session = drafter.start(tokens[:prefix], features[:prefix], len(tokens))
            drafts = session.unroll(tokens[prefix:-1], features[prefix - 1 : -2])
            logits = drafts.logits
            for step in range(DRAFT_STEPS):
                # Use only the rows where the text is long enough; other rows draft beyond its last token.
                p = teacher.hidden(stored[prefix + step : -1, -1]) @ teacher.embeddings.T
                q = logits[: len(p)]
                agreement[step] += (drafts.vocab[q.argmax(-1)] == p.argmax(-1)).sum()
                beta[step] += acceptance_probability(p.softmax(-1), q.softmax(-1), drafts.vocab).sum()
                counts[step] += len(p)
                if step + 1 < DRAFT_STEPS:
                    after = tokens[prefix + 1 + step :]
                    logits = drafts.extend(torch.cat((after, after[-1:].expand(len(logits) - len(after)))))
        shares = (agreement / counts).tolist(), (beta / counts).tolist()
        reports.append(DrafterReport(temperature, int(counts[0]), *shares))
    return reports
