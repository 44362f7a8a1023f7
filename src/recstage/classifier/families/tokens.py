"""Texts as the token ids of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token ids of texts, without padding."""

    rows: list[list[int]]
    padding: int

    def batch(self, index: Sequence[int] | NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Padded ids and mask, int64[n, t]."""
        chosen = [self.rows[int(i)] for i in index]
        width = max((len(row) for row in chosen), default=1) or 1
        ids = torch.full((len(chosen), width), self.padding, dtype=torch.int64)
        mask = torch.zeros((len(chosen), width), dtype=torch.int64)
        for place, row in enumerate(chosen):
            ids[place, : len(row)] = torch.tensor(row, dtype=torch.int64)
            mask[place, : len(row)] = 1
        return ids, mask


def tokenizer_of(text: str, max_tokens: int) -> Tokenizer:
    """A tokenizer from its JSON that cuts texts off at `max_tokens` and pads nothing."""
    tokenizer = Tokenizer.from_str(text)
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    return tokenizer


def tokens_of(tokenizer: Tokenizer, texts: Sequence[str], padding: int = 0) -> Tokens:
    """The token ids of each text."""
    return Tokens([one.ids for one in tokenizer.encode_batch(list(texts))], padding)
