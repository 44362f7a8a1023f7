"""A pretrained encoder for tests, tiny and random, and settings that fine-tune it in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recstage.config.classifier import TransformerParams
from tests.classifier.small_texts import FILLER, WORDS


def tiny_encoder(folder: Path, **more: Any) -> Path:
    """An encoder of two layers and sixteen dimensions that knows the words of the small texts."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", *FILLER, *(word for some in WORDS.values() for word in some)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, **more}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=64, **shape)).save_pretrained(folder)
    return folder


def settings(folder: Path, **more: Any) -> TransformerParams:
    given = {"frozen_layers": 0, "folds": 2, "epochs": 3, "learning_rate": 5e-3, "max_tokens": 32, "threads": 1, **more}
    return TransformerParams(encoder=str(folder), **given)
