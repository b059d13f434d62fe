import json
from itertools import islice

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toys import tiny_drafter_net, tiny_llama, toy_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from adaedl.cli.main import main
from adaedl.distill.corpus import Corpus
from adaedl.distill.generate import Writer, export_text
from adaedl.distill.prompts import HELD_OUT_PROMPTS, mentions_held_out_topic
from adaedl.distill.train import (
    BETA_WEIGHT,
    Batch,
    Checkpoint,
    DistillationLoss,
    Recipe,
    Teacher,
    initialise,
    save_drafter,
    train,
    unroll,
    widen,
)
from adaedl.models.drafters.feature import FeatureDrafter, load_feature_drafter, read_drafter
from adaedl.models.drafters.net import DrafterConfig, DrafterNet
from adaedl.models.transformers import TransformersRunner

LAYERS = (1, 2, 3)


@pytest.fixture(scope="module")
def target():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False)


@pytest.fixture
def corpus(target, tmp_path):
    """Sixteen texts written by the target."""
    torch.manual_seed(1)
    corpus = Corpus(tmp_path / "corpus", LAYERS, 48)
    runner = TransformersRunner(target)
    rows = []
    for _ in range(16):
        ids = target.generate(
            torch.randint(3, 96, (1, 5)), max_new_tokens=25, do_sample=True, eos_token_id=None
        )[0]
        features = runner.forward(ids, runner.new_cache(64), "none", LAYERS).features
        rows.append((ids.tolist(), 5, 1.0, features.view(len(ids), len(LAYERS), 48).numpy()))
    corpus.append(rows)
    return corpus


def test_rows_have_prompts_answers_and_features_of_the_target(target, monkeypatch):
    monkeypatch.setattr("adaedl.distill.batched.FEATURE_LAYERS", LAYERS)
    monkeypatch.setattr("adaedl.distill.batched.product_dtype", lambda: torch.float32)
    monkeypatch.setattr("adaedl.distill.generate.PROMPT_TOKENS", 6)
    monkeypatch.setattr("adaedl.distill.generate.SHORTEST_PROMPT", 0)
    tokenizer = toy_tokenizer(96)
    tokenizer.chat_template = (
        "w1 w2 {{ messages[0]['content'] }} w3{% if add_generation_prompt %} w4 w5{% endif %}"
    )
    written = list(islice(Writer(target, tokenizer, rows=3, answer_tokens=9, seed=0).write(), 40))
    runner = TransformersRunner(target)
    greedy = 0
    for row in written:
        prompt, answer = row.tokens[: row.prompt_length], row.tokens[row.prompt_length :]
        assert prompt[:2] == [1, 2]
        assert prompt[-3:] == [3, 4, 5]
        assert len(prompt) <= 2 + 6 + 3
        assert len(answer) == 9 or answer[-1] == 3
        assert 3 not in answer[:-1]
        forward = runner.forward(torch.tensor(row.tokens), runner.new_cache(64), "all", LAYERS)
        features = np.stack(row.features).reshape(len(row.features), -1)
        assert len(features) == len(row.tokens) - 1
        assert np.allclose(features, forward.features[:-1].numpy(), atol=1e-2)
        if row.temperature == 0:
            greedy += len(answer)
            assert answer == forward.logits[row.prompt_length - 1 : -1].argmax(-1).tolist()
    assert greedy > 50


def test_the_handwritten_loss_gradient_equals_autograd_s(monkeypatch):
    monkeypatch.setattr("adaedl.distill.train.LOSS_ROWS", 3)
    torch.manual_seed(0)
    x, head = (torch.randn(n, 5, requires_grad=True) for n in (7, 11))
    teacher, rows = torch.randn(7, 5), torch.randn(11, 5)
    q, p = (x @ head.T).softmax(-1), (teacher @ rows.T).softmax(-1)
    beta = torch.minimum(p, q).sum(-1).mean()
    expected = -(p * (x @ head.T).log_softmax(-1)).sum(-1).mean() - BETA_WEIGHT * beta
    expected_gradients = torch.autograd.grad(expected, (x, head))
    loss, measured = DistillationLoss.apply(x, head, teacher, rows)
    gradients = torch.autograd.grad(loss, (x, head))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert measured.item() == pytest.approx(beta.item(), abs=1e-6)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        assert torch.allclose(gradient, expected_gradient, atol=1e-6)


def test_training_and_decoding_run_the_same_drafter(target, corpus, monkeypatch):
    monkeypatch.setattr("adaedl.models.drafters.feature.MATCH_BONUS", 0.0)  # training has no text memory
    torch.manual_seed(2)
    teacher = Teacher.of(target)
    vocab = torch.arange(0, 96, 2)
    net = DrafterNet(DrafterConfig(48, 64, 3, 1, 16, 1e-6, 10000.0, LAYERS, len(vocab))).requires_grad_(False)
    batch = Batch.of([(corpus, 3)])
    drafts = unroll(net, batch, teacher.embeddings, 3, rounds_a_sequence=64)
    runner = TransformersRunner(target)
    drafter = FeatureDrafter(net, vocab, runner, teacher.embeddings)
    ids = batch.tokens[0]
    features = batch.features[0].flatten(1).float()
    compared = 0
    for start in (5, 9, 20):
        session = drafter.start(ids[:start], features[:start], capacity=64)
        logits = [session.begin(ids[start : start + 1], features[start - 1 : start])]
        logits += [session.extend(ids[start + 1]), session.extend(ids[start + 2])]
        for step, (own, _, position) in enumerate(drafts):
            (row,) = (position == start + step).nonzero()[:1].T
            if len(row):
                assert torch.allclose(net.logits(own[row])[0], logits[step][: len(vocab)], atol=1e-3)
                compared += 1
    assert compared >= 8


def test_a_round_after_accepted_drafts_reads_the_target_s_features(target, corpus):
    torch.manual_seed(3)
    teacher = Teacher.of(target)
    net = DrafterNet(DrafterConfig(48, 64, 3, 1, 16, 1e-6, 10000.0, LAYERS, 96)).requires_grad_(False)
    drafter = FeatureDrafter(net, torch.arange(96), TransformersRunner(target), teacher.embeddings)
    tokens, features = corpus.sequence(0)
    features = features.flatten(1).float()
    session = drafter.start(tokens[:6], features[:6], capacity=64)
    session.begin(tokens[6:7], features[5:6])
    session.extend(tokens[7])
    session.extend(torch.tensor(1))
    continued = session.begin(tokens[7:9], features[6:8])
    fresh = drafter.start(tokens[:8], features[:8], capacity=64).begin(tokens[8:9], features[7:8])
    assert torch.allclose(continued, fresh, atol=1e-5)


def test_a_drafter_is_useful_before_any_training(target, corpus):
    teacher = Teacher.of(target)
    vocab = torch.arange(96)
    net = initialise([corpus], teacher, LAYERS, vocab)
    untrained = DrafterNet(net.config)
    batch = Batch.of([(corpus, n) for n in range(16)])

    def beta(net: DrafterNet) -> float:
        own, row, position = unroll(net, batch, teacher.embeddings, 1, 1)[0]
        target_logits = teacher.hidden(batch.features[row, position, -1]) @ teacher.embeddings.T
        return torch.minimum(net.logits(own).softmax(-1), target_logits.softmax(-1)).sum(-1).mean().item()

    assert beta(net) > 1.2 * beta(untrained)


def test_prompts_are_learned_from_prompts_from_on(corpus):
    length, prompt = corpus.length[0], corpus.prompt_length[0]
    answers = Batch.of([(corpus, 0)]).predicts[0]
    assert answers.nonzero().squeeze(-1).tolist() == list(range(prompt - 1, length - 1))
    both = Batch.of([(corpus, 0)], prompts_from=1).predicts[0]
    assert both.nonzero().squeeze(-1).tolist() == list(range(1, length - 1))
    late = Batch.of([(corpus, 0)], prompts_from=length).predicts[0]
    assert torch.equal(late, answers)


def test_training_continues_from_its_checkpoint_and_saves_a_drafter(target, corpus, tmp_path):
    teacher = Teacher.of(target)
    checkpoint, output = tmp_path / "run" / "checkpoint.safetensors", tmp_path / "drafter.safetensors"
    lines: list[str] = []

    def run(minutes: float) -> DrafterNet:
        recipe = Recipe(minutes=minutes, sequences_a_step=4, draft_steps=2, rounds_a_sequence=4)
        usable = lambda corpus, number: True  # noqa: E731
        return train(
            *([corpus], usable, teacher, LAYERS, recipe, checkpoint, output, lines.append),
            vocab_size=64,
            intermediate_size=80,
        )

    run(0.02)
    first = output.read_bytes()
    average = run(Checkpoint.read(checkpoint).seconds / 60 + 0.06)
    assert output.read_bytes() != first
    assert len(load_feature_drafter(output, TransformersRunner(target), teacher.embeddings).vocab) == 64
    drafter = FeatureDrafter(*read_drafter(output), TransformersRunner(target), teacher.embeddings)
    expected = average.logits(torch.ones(1, 48))
    assert torch.allclose(drafter.head(torch.ones(1, 48)), expected, atol=1e-2)


def test_a_run_from_a_trained_drafter_keeps_its_vocabulary(target, corpus, tmp_path):
    teacher = Teacher.of(target)
    vocab = torch.arange(0, 96, 3)
    trained = initialise([corpus], teacher, LAYERS, vocab)
    weights = {name: tensor.clone() for name, tensor in trained.state_dict().items()}

    def run(minutes: float) -> dict:
        checkpoint, output = tmp_path / f"{minutes}.safetensors", tmp_path / "drafter.safetensors"
        recipe = Recipe(
            minutes=minutes,
            sequences_a_step=4,
            draft_steps=2,
            rounds_a_sequence=4,
            dropout=0.1,
            prompts_from=1,
        )
        usable = lambda corpus, number: True  # noqa: E731
        train(
            *([corpus], usable, teacher, LAYERS, recipe, checkpoint, output, lambda line: None),
            vocab_size=len(vocab),
            intermediate_size=64,
            start_from=(trained, vocab),
        )
        net, saved_vocab = read_drafter(output)
        assert torch.equal(saved_vocab, vocab)
        return net.state_dict()

    untouched = run(1e-9)
    assert all(torch.allclose(untouched[name], weights[name], atol=1e-2) for name in weights)
    assert not torch.allclose(run(0.02)["head.weight"], untouched["head.weight"], atol=1e-6)


def test_a_widened_drafter_has_the_same_logits_until_it_is_trained(target, corpus):
    teacher = Teacher.of(target)
    vocab, wider = torch.arange(12, 76), torch.arange(8, 88)
    net = initialise([corpus], teacher, LAYERS, vocab)
    net.head.weight.data.mul_(1.5)  # the rows of new tokens must be scaled alike
    wide = widen(net, vocab, wider, 80, teacher)
    batch = Batch.of([(corpus, n) for n in range(4)])
    (own, *_), (own_wide, *_) = (unroll(n, batch, teacher.embeddings, 1, 1)[0] for n in (net, wide))
    assert torch.allclose(own, own_wide, atol=1e-5)
    old = torch.isin(wider, vocab)
    assert torch.allclose(net.logits(own), wide.logits(own)[:, old], atol=1e-4)
    new, embeddings = wide.head.weight[~old], teacher.embeddings[wider[~old]]
    assert (new - 1.5 * embeddings).norm() < 0.5 * (new - embeddings).norm()
    # The MLP's new neurons have inputs, so that their outputs can be learned.
    added = wide.gate_up.weight.unflatten(0, (2, 80))[:, 64:]
    assert (added.flatten(1).norm(dim=1) > 0).all()
    assert wide.down.weight[:, 64:].count_nonzero() == 0


def test_averaging_drafters_averages_their_weights(tmp_path):
    vocab = torch.arange(24)
    nets = [tiny_drafter_net(tiny_llama(), 24, seed=seed) for seed in range(3)]
    files = [tmp_path / f"{seed}.safetensors" for seed in range(3)]
    for net, file in zip(nets, files, strict=True):
        save_drafter(net, vocab, file)
    mean = tmp_path / "mean.safetensors"
    main(["distill", "average", *(f"--drafter={file}" for file in files), f"--output={mean}"])
    average, saved_vocab = read_drafter(mean)
    assert torch.equal(saved_vocab, vocab)
    for name, weight in average.state_dict().items():
        expected = torch.stack([net.state_dict()[name] for net in nets]).mean(0)
        assert torch.allclose(weight, expected, atol=2e-3)

    save_drafter(nets[0], vocab + 1, files[1])
    assert main(["distill", "average", *(f"--drafter={f}" for f in files), f"--output={mean}"]) == 2


def test_an_interrupted_write_leaves_the_corpus_intact(corpus):
    before = corpus.sequences
    with (corpus.folder / "tokens.bin").open("ab") as file:
        file.write(np.arange(7, dtype=np.uint16).tobytes())
    reopened = Corpus(corpus.folder, LAYERS, 48)
    reopened.append([([1, 2, 3, 4], 2, 0.0, np.full((3, 3, 48), 0.5, np.float16))])
    tokens, features = reopened.sequence(before)
    assert tokens.tolist() == [1, 2, 3, 4]
    assert features[2].eq(0.5).all()
    assert features[3].eq(0).all()
    assert json.loads(reopened.index_file.read_text().splitlines()[-1])["length"] == 4


def test_exported_text_is_the_text_of_the_corpora(corpus, tmp_path):
    export_text([corpus, corpus], tmp_path / "text.safetensors")
    text = load_file(tmp_path / "text.safetensors")
    assert text["length"].tolist() == corpus.length * 2
    assert text["prompt_length"].tolist() == corpus.prompt_length * 2
    assert text["temperature"].tolist() == corpus.temperature * 2
    assert text["tokens"].tolist() == corpus.tokens.tolist() * 2


def test_held_out_topics_are_found_in_prompts():
    assert mentions_held_out_topic("Tell me about a LIGHTHOUSE.")
    assert not mentions_held_out_topic("Tell me about rivers.")
    assert sum(mentions_held_out_topic(prompt) for prompt in HELD_OUT_PROMPTS) >= 16
