"""Logits of texts by a network, in the precision that the device computes with."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recstage.classifier.families.encoder import Network
from recstage.classifier.families.frozen import FrozenPart
from recstage.classifier.families.tokens import Tokens

SCORE_BATCH = 32


def score(
    network: Network,
    tokens: Tokens,
    device: torch.device,
    *,
    mixed: bool = False,
    below: FrozenPart | None = None,
) -> NDArray[np.float64]:
    """Logits of texts, float64[n, classes]: sorted by length while they are computed, in their order when returned."""
    network.eval()
    order = np.argsort([len(row) for row in tokens.rows], kind="stable")
    found = np.zeros((len(order), network.head.out_features))
    with torch.inference_mode(), precision(device, mixed):
        for start in range(0, len(order), SCORE_BATCH):
            chosen = order[start : start + SCORE_BATCH]
            ids, mask = tokens.batch(chosen)
            known = None if below is None else below.batch(tokens, chosen).to(device)
            found[chosen] = network(ids.to(device), mask.to(device), known).double().cpu().numpy()
    return found


def precision(device: torch.device, mixed: bool) -> Any:
    """bfloat16 where `mixed`, else float32: a context for what is computed."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if mixed else nullcontext()


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes with bfloat16, not only stores it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    try:
        return any(
            "avx512_bf16" in line or "amx_bf16" in line for line in Path("/proc/cpuinfo").read_text().splitlines()
        )
    except OSError:
        return False
