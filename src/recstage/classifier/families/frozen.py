"""What the frozen layers of an encoder make of texts, computed once: it is the same in every epoch, and for every
network that is fine-tuned from the same encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from recstage.classifier.families.encoder import Network
from recstage.classifier.families.tokens import Tokens

MOST_BYTES = 1 << 30
BATCH = 32


class FrozenPart:
    """Hidden states float32[t, width] of each text, by its token ids."""

    def __init__(self) -> None:
        self._kept: dict[bytes, torch.Tensor] = {}
        self._bytes = 0

    def add(self, network: Network, tokens: Tokens, device: torch.device) -> bool:
        """Compute what is not known yet, always in the same batches; whether all is known now. False, and nothing is
        computed, where no layer is frozen or it would all be more than `MOST_BYTES`."""
        missing = list({_key(row): row for row in tokens.rows if _key(row) not in self._kept}.values())
        width = int(network.encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        size = 4 * width * sum(map(len, missing))
        if not network.has_frozen_part or self._bytes + size > MOST_BYTES:
            return False
        network.eval()
        missing.sort(key=len)
        self._bytes += size
        with torch.inference_mode():
            for start in range(0, len(missing), BATCH):
                rows = Tokens(missing[start : start + BATCH], tokens.padding)
                ids, mask = rows.batch(range(len(rows.rows)))
                hidden = network.frozen_part(ids.to(device), mask.to(device)).cpu()
                for row, values in zip(rows.rows, hidden, strict=True):
                    self._kept[_key(row)] = values[: len(row)].clone()
        return True

    def batch(self, tokens: Tokens, index: Sequence[int] | NDArray[np.int64]) -> torch.Tensor:
        """Hidden states of some of the texts, float32[n, t, width], zeros where a text has ended."""
        found = [self._kept[_key(tokens.rows[int(i)])] for i in index]
        return torch.nn.utils.rnn.pad_sequence(found, batch_first=True)


def _key(row: Sequence[int]) -> bytes:
    return np.asarray(row, np.int32).tobytes()
