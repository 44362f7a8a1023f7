"""The transformer family: a fine-tuned encoder with a layer for the classes on top, once it is trained."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from recstage.classifier.families import int8, scoring, tokens
from recstage.classifier.families.encoder import Network, from_config
from recstage.classifier.families.fine_tuning import FineTuned
from recstage.config.classifier import TransformerParams
from recstage.errors import BundleError


@dataclass(eq=False)
class TransformerText:
    """A network and its tokenizer. `weights`: those of the network by name, int8 with scales where it is exported so;
    `encoder_config`, `tokenizer`: both as JSON, for the bundle."""

    params: TransformerParams
    network: Network
    weights: Mapping[str, NDArray]
    encoder_config: Mapping[str, Any]
    tokenizer: str

    def __post_init__(self) -> None:
        self._tokenizer = tokens.tokenizer_of(self.tokenizer, self.params.max_tokens)
        self._padding = int(self.encoder_config.get("pad_token_id") or 0)
        self.network.eval()
        if self.params.export == "int8":
            int8.with_int8_layers(self.network, self.weights)

    def scores(self, texts: Sequence[str]) -> NDArray:
        """Logits, float64[n, classes]; on the CPU."""
        given = tokens.tokens_of(self._tokenizer, texts, self._padding)
        return scoring.score(self.network, given, torch.device("cpu"))

    def arrays(self) -> dict[str, NDArray]:
        """The weights, by name."""
        return dict(self.weights)


def of(params: TransformerParams, trained: FineTuned) -> TransformerText:
    """What was fine-tuned, ready to use, its weights rounded where `params.export` says so."""
    weights: dict[str, NDArray] = {name: tensor.numpy().copy() for name, tensor in trained.network.state_dict().items()}
    if params.export == "int8":
        weights = int8.quantised(weights)
    return _loaded(params, copy.deepcopy(trained.network), weights, trained.encoder_config, trained.tokenizer)


def restore(
    params: TransformerParams, arrays: Mapping[str, NDArray], encoder_config: str, tokenizer: str, classes: int
) -> TransformerText:
    """The model that was stored. Raises `BundleError` where the label map or the encoder does not fit the weights, and
    `ExternalToolError` without the extra `text`."""
    config = json.loads(encoder_config)
    network = Network(from_config(config), classes)
    try:
        return _loaded(params, network, arrays, config, tokenizer)
    except RuntimeError as error:
        raise BundleError(
            "the classifier's bundle",
            rule=f"its label map of {classes} classes or its encoder does not fit its weights",
            fix="Train it again",
        ) from error


def _loaded(
    params: TransformerParams,
    network: Network,
    weights: Mapping[str, NDArray],
    encoder_config: Mapping[str, Any],
    tokenizer: str,
) -> TransformerText:
    floats = int8.restored(weights)
    network.load_state_dict({name: torch.from_numpy(values.copy()) for name, values in floats.items()})
    return TransformerText(params, network, weights, encoder_config, tokenizer)
