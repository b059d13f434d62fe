"""Tiny models in folders, with tokenizers of every kind that models use."""

import json
from collections.abc import Callable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from toys import tiny_llama
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMMED = CHATML.replace("m.content", "m.content | trim")
TEXTS = [
    "What does it mean? The user asked the assistant about the system, and it answered in a few words.",
    "def f(x):\n    return x + 1  # a comment\n\n\nprint(f(41))\n",
    '  spaces,\ttabs\r\nand 1234567890 numbers; naïve ÉCOLE 水 🦊 — "quotes" & <tags/>',
    "<think>Why is the sky blue?</think>\n\nIt scatters light.",
]
SPECIAL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")
# The pattern with which GPT-4's tokenizer, and later Llama 3's, splits text.
TIKTOKEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def byte_level() -> Tokenizer:
    """Return a tokenizer like those of GPT-2, SmolLM and Qwen."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, trainers.BpeTrainer, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def tiktoken() -> Tokenizer:
    """Return a tokenizer like Llama 3's: text is split first, and a part that is in the vocabulary is one
    token whatever the merges are."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(Regex(TIKTOKEN), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, trainers.BpeTrainer, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return tokenizer


def llama(prefix: str = "always") -> Tokenizer:
    """Return a tokenizer like Llama 2's: a text is one word, and bytes replace unknown characters. A space is
    added before the text (`prefix` "first"), or also after every special token ("always")."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    spaces = normalizers.Replace(" ", "▁")
    if prefix == "always":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prefix, split=False)
    special = ["<unk>", *SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    texts = [word for text in TEXTS for word in text.replace("\n", " ").split(" ")]
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False)
    )
    state = json.loads(tokenizer.to_str())
    kept = {"<unk>", *SPECIAL}  # the bytes are ordinary tokens
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in kept]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return tokenizer


def llama_first() -> Tokenizer:
    """Return the same tokenizer with a space only before the text."""
    return llama("first")


def unigram() -> Tokenizer:
    """Return a tokenizer like those of T5 and XLNet: special tokens are ordinary pieces."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<unk>", *SPECIAL]
    _train(tokenizer, trainers.UnigramTrainer, special_tokens=special, unk_token="<unk>", max_piece_length=8)
    return tokenizer


def words() -> Tokenizer:
    """Return a tokenizer of whole words, including special tokens."""
    listed = sorted({word for text in TEXTS for word in text.split()})
    vocabulary = {word: index for index, word in enumerate(["<unk>", *SPECIAL, *listed])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def _train(tokenizer: Tokenizer, trainer: type, **options) -> None:
    tokenizer.train_from_iterator(TEXTS * 3, trainer(vocab_size=400, show_progress=False, **options))


KINDS: dict[str, Callable[[], Tokenizer]] = {
    build.__name__: build for build in (byte_level, tiktoken, llama, llama_first, unigram, words)
}


def make_tokenizer(kind: str, template: str | dict | None = CHATML, added: list[AddedToken] = ()):
    """Return a transformers tokenizer: one of KINDS, or "python" for one in pure Python."""
    if kind == "python":
        tokenizer = ByT5Tokenizer(additional_special_tokens=["<|im_start|>", "<|im_end|>"], extra_ids=0)
    else:
        backend = KINDS[kind]()
        unknown = {"unk_token": "<unk>"} if backend.token_to_id("<unk>") is not None else {}
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=backend,
            bos_token="<s>",
            eos_token="</s>",
            extra_special_tokens=["<|im_start|>", "<|im_end|>"],
            **unknown,
        )
    tokenizer.add_tokens(list(added))
    tokenizer.chat_template = template
    return tokenizer


def save_model(folder: Path, tokenizer, seed: int = 0, rows: int | None = None, **changes) -> Path:
    """Save a tiny Llama with a tokenizer to a folder; it has as many embedding rows as the tokenizer has
    tokens, or `rows`."""
    model = tiny_llama(seed, rows or len(tokenizer), num_hidden_layers=1, **changes)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
