"""Teacher text on disk: tokens, and the target's features of every token, appended as they are written."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class Corpus:
    """Sequences in a folder with three files: `tokens.bin` (uint16), `features.bin` (float16, [tokens,
    layers, H], each feature at unit root mean square) and `sequences.jsonl` (length, prompt_length and
    temperature of each sequence). A sequence counts once its line is in `sequences.jsonl`, so an interrupted
    write leaves the corpus intact.

    Attributes:
        tokens, features: the content of the files, mapped into memory.
    """

    tokens: np.ndarray
    features: np.ndarray

    def __init__(self, folder: Path, feature_layers: tuple[int, ...], hidden_size: int):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.feature_layers = feature_layers
        self.shape = (len(feature_layers), hidden_size)
        self.index_file = self.folder / "sequences.jsonl"
        self.index_file.touch()
        self._open()

    def _open(self) -> None:
        records = [json.loads(line) for line in self.index_file.read_text().splitlines()]
        self.length = [r["length"] for r in records]
        self.prompt_length = [r["prompt_length"] for r in records]
        self.temperature = [r["temperature"] for r in records]
        self.offset = np.concatenate(([0], np.cumsum(self.length))).astype(np.int64)
        self._map()

    def _map(self) -> None:
        total = int(self.offset[-1])
        for name, kind, shape in (
            ("tokens", np.uint16, (total,)),
            ("features", np.float16, (total, *self.shape)),
        ):
            path = self.folder / f"{name}.bin"
            path.touch()
            mapped = np.memmap(path, kind, "r", shape=shape) if total else np.empty(shape, kind)
            setattr(self, name, mapped)

    @property
    def sequences(self) -> int:
        return len(self.length)

    @property
    def answer_tokens(self) -> int:
        return sum(self.length) - sum(self.prompt_length)

    def append(self, rows: Iterable[tuple[list[int], int, float, np.ndarray]]) -> None:
        """Append sequences, given as (tokens [L], prompt_length, temperature, features [L or L − 1, layers,
        H]). The features of the last token may be missing, because the target never reads that token."""
        written = int(self.offset[-1])
        lines = []
        with (
            (self.folder / "tokens.bin").open("r+b") as tokens,
            (self.folder / "features.bin").open("r+b") as features,
        ):
            tokens.seek(written * 2)
            features.seek(written * 2 * int(np.prod(self.shape)))
            for ids, prompt_length, temperature, rows_of_features in rows:
                missing = np.zeros((len(ids) - len(rows_of_features), *self.shape), np.float16)
                tokens.write(np.asarray(ids, np.uint16).tobytes())
                features.write(np.concatenate((rows_of_features, missing)).astype(np.float16).tobytes())
                lines.append({"length": len(ids), "prompt_length": prompt_length, "temperature": temperature})
        with self.index_file.open("a") as index:
            index.writelines(json.dumps(line) + "\n" for line in lines)
        self._open()

    def sequence(self, number: int) -> tuple[Tensor, Tensor]:
        """Return tokens [L] and features [L, layers, H] of one sequence."""
        rows = slice(self.offset[number], self.offset[number + 1])
        return (
            torch.from_numpy(self.tokens[rows].astype(np.int64)),
            torch.from_numpy(np.array(self.features[rows])),
        )
