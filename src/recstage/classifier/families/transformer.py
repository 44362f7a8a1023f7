"""The transformer family: a fine-tuned encoder with a layer for the classes on top, once it is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from recstage.classifier.families import fine_tuning
from recstage.classifier.families.encoder import Network, from_config
from recstage.classifier.families.fine_tuning import FineTuned
from recstage.config.classifier import TransformerParams
from recstage.errors import BundleError


@dataclass(eq=False)
class TransformerText:
    """A network and its tokenizer. `encoder_config`, `tokenizer`: both as JSON, for the bundle."""

    params: TransformerParams
    network: Network
    encoder_config: Mapping[str, Any]
    tokenizer: str

    def __post_init__(self) -> None:
        self._tokenizer = fine_tuning.tokenizer_of(self.tokenizer, self.params.max_tokens)
        self.network.eval()

    def scores(self, texts: Sequence[str]) -> NDArray:
        """Logits, float64[n, classes]; on the CPU, in float32."""
        tokens = fine_tuning.tokens_of(self._tokenizer, texts)
        return fine_tuning.score(self.network, tokens, torch.device("cpu"))

    def arrays(self) -> dict[str, NDArray]:
        """The weights, by name."""
        return {name: tensor.numpy() for name, tensor in self.network.state_dict().items()}


def of(params: TransformerParams, trained: FineTuned) -> TransformerText:
    """What was fine-tuned, ready to use."""
    return TransformerText(params, trained.network, trained.encoder_config, trained.tokenizer)


def restore(
    params: TransformerParams, arrays: Mapping[str, NDArray], encoder_config: str, tokenizer: str, classes: int
) -> TransformerText:
    """The model that was stored. Raises `BundleError` where the label map or the encoder does not fit the weights, and
    `ExternalToolError` without the extra `text`."""
    config = json.loads(encoder_config)
    network = Network(from_config(config), classes)
    given = {name: torch.from_numpy(values.copy()) for name, values in arrays.items()}
    try:
        network.load_state_dict(given)
    except RuntimeError as error:
        raise BundleError(
            "the classifier's bundle",
            rule=f"its label map of {classes} classes or its encoder does not fit its weights",
            fix="Train it again",
        ) from error
    return TransformerText(params, network, config, tokenizer)
