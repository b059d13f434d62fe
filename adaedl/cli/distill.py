"""`distill generate | export | train | average | evaluate`: remake the shipped drafter."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch

from adaedl.distill.batched import FEATURE_LAYERS
from adaedl.distill.corpus import Corpus
from adaedl.distill.evaluate import evaluate, write_answers
from adaedl.distill.generate import export_text, generate, import_text
from adaedl.distill.prompts import mentions_held_out_topic
from adaedl.distill.train import Recipe, Teacher, save_drafter, train
from adaedl.errors import Parameter, UserError
from adaedl.models.drafters.feature import load_feature_drafter, read_drafter
from adaedl.models.factory import make_runner
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS, SHIPPED_DRAFTER
from adaedl.pairs.reading import load_model, load_tokenizer
from adaedl.pairs.weights import fetch_weights
from adaedl.system.files import check_writable, make_folder
from adaedl.system.shipped import shipped

# The range of each number, in every step that has it.
RANGES = {
    "tokens": (1, 10**10),
    "rows": (1, 4096),
    "answer_tokens": (1, 8192),
    "seed": (0, 2**63 - 1),
    "minutes": (1e-3, 1e5),
    "decay": (1e-3, 1),
    "rate": (1e-6, 1e3),
    "dropout": (0, 0.99),
    "prompts_from": (0, 10**6),
}
DRAFTER = shipped(SHIPPED_DRAFTER)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the steps of the recipe. Each sets `func`, which takes the parsed arguments."""
    steps = parser.add_subparsers(dest="step", required=True)

    writing = steps.add_parser("generate", help="write teacher text into a folder; continues an earlier run")
    writing.add_argument("--corpus", type=Path, required=True, help="folder")
    writing.add_argument("--tokens", type=int, default=1_000_000, help="total number of answer tokens")
    writing.add_argument("--rows", type=int, default=256, help="sequences generated at once")
    writing.add_argument("--answer-tokens", type=int, default=176, help="maximum tokens per answer")
    writing.add_argument("--seed", type=int, default=0)
    writing.add_argument(
        "--import", dest="imported", type=Path, help="import token sequences from a safetensors file instead"
    )
    writing.set_defaults(func=_generate)

    exporting = steps.add_parser(
        "export", help="write the token sequences of corpora to one safetensors file"
    )
    exporting.add_argument(
        "--corpus", type=Path, required=True, action="append", help="folder; may be repeated"
    )
    exporting.add_argument("--output", type=Path, required=True)
    exporting.set_defaults(func=_export)

    training = steps.add_parser("train", help="train a drafter; continues from its checkpoint")
    training.add_argument(
        "--corpus", type=Path, required=True, action="append", help="folder; may be repeated"
    )
    training.add_argument("--minutes", type=float, default=Recipe.minutes, help="total minutes of training")
    training.add_argument(
        "--decay", type=float, default=Recipe.decay, help="share of the training with falling learning rates"
    )
    training.add_argument("--checkpoint", type=Path, required=True, help="file to create or continue from")
    training.add_argument("--output", type=Path, default=DRAFTER)
    training.add_argument("--start-from", type=Path, help="a trained drafter to start a new run from")
    training.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates")
    training.add_argument("--dropout", type=float, default=Recipe.dropout, help="dropout of the features")
    training.add_argument(
        "--prompts-from",
        type=int,
        help="also learn from prompts, from this position on; for prompts that the target wrote itself",
    )
    training.set_defaults(func=_train)

    averaging = steps.add_parser("average", help="average drafters that started from the same drafter")
    averaging.add_argument(
        "--drafter",
        type=Path,
        required=True,
        action="append",
        help="file; repeat the option for each drafter",
    )
    averaging.add_argument("--output", type=Path, required=True)
    averaging.set_defaults(func=_average)

    measuring = steps.add_parser("evaluate", help="measure greedy agreement and β on held-out prompts")
    measuring.add_argument("--drafter", type=Path, default=DRAFTER)
    measuring.add_argument("--corpus", type=Path, required=True, help="folder for the held-out answers")
    measuring.add_argument("--answer-tokens", type=int, default=128)
    measuring.add_argument("--json", type=Path)
    measuring.set_defaults(func=_evaluate)


def _prepare_file(path: Path) -> None:
    """Create the folder of a file. Raise UserError if the file cannot be written."""
    make_folder(path.parent)
    check_writable(path)


def _check_numbers(args: argparse.Namespace) -> None:
    """Raise UserError if a number is out of range."""
    for name, (low, high) in RANGES.items():
        value = getattr(args, name, None)
        if value is not None and not low <= value <= high:
            raise UserError("{} is {}; it must be from {:,} to {:,}.", Parameter(name), value, low, high)


def _target():
    folder = fetch_weights(PRESETS[DEFAULT_PAIR].target).folder
    return load_model(folder, torch.device("cpu"), torch.float32), load_tokenizer(folder)


def _generate(args) -> None:
    _check_numbers(args)
    model, tokenizer = _target()
    if args.imported:
        import_text(model, args.imported, args.corpus)
    else:
        generate(model, tokenizer, args.corpus, args.tokens, args.rows, args.answer_tokens, args.seed)


def _export(args) -> None:
    check_writable(args.output)
    hidden_size = _target()[0].config.hidden_size
    export_text([Corpus(folder, FEATURE_LAYERS, hidden_size) for folder in args.corpus], args.output)


def _train(args) -> None:
    _check_numbers(args)
    _prepare_file(args.checkpoint)
    _prepare_file(args.output)
    model, tokenizer = _target()
    teacher = Teacher.of(model)
    corpora = [Corpus(folder, FEATURE_LAYERS, model.config.hidden_size) for folder in args.corpus]

    def usable(corpus: Corpus, number: int) -> bool:
        start, length = corpus.offset[number], corpus.prompt_length[number]
        prompt = tokenizer.decode(corpus.tokens[start : start + length].tolist())
        return corpus.length[number] - length >= 4 and not mentions_held_out_topic(prompt)

    rates = {"matrix_rate": args.rate * Recipe.matrix_rate, "head_rate": args.rate * Recipe.head_rate}
    recipe = Recipe(
        minutes=args.minutes,
        decay=args.decay,
        dropout=args.dropout,
        prompts_from=args.prompts_from,
        **rates,
    )
    train(
        corpora,
        usable,
        teacher,
        FEATURE_LAYERS,
        recipe,
        args.checkpoint,
        args.output,
        lambda line: print(line, flush=True),
        start_from=read_drafter(args.start_from) if args.start_from else None,
    )


def _average(args) -> None:
    _prepare_file(args.output)
    (net, vocab), *others = (read_drafter(path) for path in args.drafter)
    for count, (other, other_vocab) in enumerate(others, 2):
        if not torch.equal(vocab, other_vocab):
            raise UserError(
                "{} and {} have different vocabularies.", args.drafter[count - 1], args.drafter[0]
            )
        for mean, weight in zip(net.parameters(), other.parameters(), strict=True):
            mean.lerp_(weight, 1 / count)
    save_drafter(net, vocab, args.output)


def _evaluate(args) -> None:
    _check_numbers(args)
    model, tokenizer = _target()
    runner = make_runner(model)
    corpus = Corpus(args.corpus, FEATURE_LAYERS, model.config.hidden_size)
    for temperature in (0.0, 0.7, 1.0):
        if temperature not in corpus.temperature:
            write_answers(model, tokenizer, runner, corpus, temperature, args.answer_tokens, seed=0)
    teacher = Teacher.of(model)
    drafter = load_feature_drafter(args.drafter, runner, teacher.embeddings)
    reports = evaluate(drafter, teacher, corpus)
    print(
        "text at temperature | positions | agreement of drafts 1 to 4 | β at temperature 1 of drafts 1 to 4"
    )
    for report in reports:
        shares = (" ".join(f"{value:.3f}" for value in values) for values in (report.agreement, report.beta))
        print(f"{report.text_temperature} | {report.positions} | " + " | ".join(shares))
    if args.json:
        args.json.write(json.dumps([asdict(report) for report in reports], indent=1) + "\n")
