"""Fine-tunes an encoder on labelled texts: warm-up, class weights, early stopping on validation, exact resume.

A checkpoint is written after each epoch (safetensors and JSON, replaced by one rename): weights, both moments of AdamW,
the random state, the best weights so far. The order of the texts depends on seed and epoch alone, so that an
interrupted training goes on to the very weights of an uninterrupted one.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from recstage.classifier import measures
from recstage.classifier.families.encoder import Network, Pretrained, pretrained
from recstage.classifier.families.frozen import FrozenPart
from recstage.classifier.families.scoring import has_bfloat16, precision, score
from recstage.classifier.families.tokens import Tokens, tokenizer_of, tokens_of
from recstage.config import keep_private
from recstage.config.classifier import TransformerParams
from recstage.errors import Diverged
from recstage.models.neural.team import ALONE, Team

Report = Callable[[int, Mapping[str, float]], None]
BUCKET_BATCHES = 20
"""Texts are sorted by length within so many batches: less padding, and still a random order."""
LARGEST_NORM = 1.0
METRIC = "validation_mean_average_precision"


@dataclass(eq=False)
class FineTuned:
    """A trained network with what is needed to use it: its encoder's configuration and tokenizer as JSON."""

    network: Network
    encoder_config: dict[str, Any]
    tokenizer: str
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    checkpoint: Path | None = None
    """Of its last epoch; whoever needs no resume any more deletes it (`forget`)."""

    def forget(self) -> None:
        """Delete the checkpoint."""
        if self.checkpoint is not None:
            self.checkpoint.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class Examples:
    """Texts, their classes bool[n, classes], and the weight of each text float64[n]; all equal where none is given."""

    texts: Sequence[str]
    truth: NDArray[np.bool_]
    weight: NDArray[np.float64] | None = None


def fine_tune(
    params: TransformerParams,
    train: Examples,
    validation: Examples,
    *,
    positive_weight: NDArray[np.float64],
    seed: int,
    checkpoints: Path | None = None,
    report: Report = lambda step, metrics: None,
    known: FrozenPart | None = None,
    encoder: Pretrained | None = None,
    team: Team = ALONE,
) -> FineTuned:
    """The network of the epoch that is best on validation by mean average precision.

    `known`: shared by networks that are fine-tuned from the same encoder, whose frozen layers are then computed once.
    `encoder`: where it is loaded already. Every member of a `team` calls this alike.

    `positive_weight` float64[classes] of positives in the loss. With `checkpoints`, what was interrupted with the very
    same settings and texts goes on. Raises `Diverged` where the loss is no number, and what `pretrained` raises.
    """
    if params.threads:
        torch.set_num_threads(params.threads)
    torch.manual_seed(seed)
    encoder = pretrained(params.encoder) if encoder is None else encoder
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = Network(encoder.module, train.truth.shape[1], params.dropout).to(device)
    network.freeze(params.frozen_layers)
    tokenizer = tokenizer_of(encoder.tokenizer, params.max_tokens)
    padding = int(encoder.config.get("pad_token_id") or 0)
    tokens, held = (tokens_of(tokenizer, some.texts, padding) for some in (train, validation))
    below = FrozenPart() if known is None else known
    usable = below.add(network, tokens, device) and below.add(network, held, device)
    run = _Run(
        params,
        network,
        device,
        tokens,
        torch.tensor(train.truth, dtype=torch.float32),
        torch.ones(len(train.texts)) if train.weight is None else torch.tensor(train.weight, dtype=torch.float32),
        torch.tensor(positive_weight, dtype=torch.float32, device=device),
        seed,
        below if usable else None,
        team,
    )
    file = None if checkpoints is None else checkpoints / checkpoint_name(params, train, validation, seed)
    state = run.resume(file)
    while state.epoch < params.epochs and state.waited < params.patience:
        loss = run.epoch(state.epoch)
        scores = score(network, held, device, mixed=run.mixed, below=run.below)
        own = {METRIC: float(np.nanmean(measures.average_precisions(validation.truth, scores)))}
        value = team.mean(own, 1)[METRIC]
        state.after(loss, value, network)
        run.keep(file, state)
        report(state.epoch, {"loss": loss, METRIC: value})
    network.load_state_dict(state.best)
    network.eval()
    return FineTuned(network.cpu(), encoder.config, encoder.tokenizer, state.history, state.best_epoch, file)


def averaged(found: Sequence[FineTuned]) -> FineTuned:
    """One network of the mean weights of several that were fine-tuned from the same start: as quick as one of them
    (Wortsman et al. 2022, "Model soups")."""
    first = found[0]
    states = [one.network.state_dict() for one in found]
    network = copy.deepcopy(first.network)
    network.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
            for name, value in states[0].items()
        }
    )
    history = [{"network": place, **epoch} for place, one in enumerate(found, 1) for epoch in one.history]
    return FineTuned(network, first.encoder_config, first.tokenizer, history)


@dataclass
class _State:
    epoch: int = 0
    waited: int = 0
    best_value: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)

    def after(self, loss: float, value: float, network: nn.Module) -> None:
        self.epoch += 1
        self.history.append({"epoch": self.epoch, "loss": loss, METRIC: value})
        self.waited += 1
        if value > self.best_value:
            self.best_value, self.best_epoch, self.waited = value, self.epoch, 0
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


class _Run:
    """The loop over epochs: its network, optimiser and texts."""

    def __init__(
        self,
        params: TransformerParams,
        network: Network,
        device: torch.device,
        tokens: Tokens,
        truth: torch.Tensor,
        weight: torch.Tensor,
        positive_weight: torch.Tensor,
        seed: int,
        below: FrozenPart | None = None,
        team: Team = ALONE,
    ) -> None:
        self.params, self.network, self.device, self.seed = params, network, device, seed
        self.below, self.team = below, team
        self.tokens, self.truth, self.weight = tokens, truth, weight
        self.mixed = params.mixed_precision and has_bfloat16(device)
        self.loss = nn.BCEWithLogitsLoss(pos_weight=positive_weight, reduction="none")
        body = [one for one in network.encoder.parameters() if one.requires_grad]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": body, "lr": params.learning_rate},
                {"params": list(network.head.parameters()), "lr": params.head_learning_rate},
            ],
            weight_decay=params.weight_decay,
            fused=True,
        )
        steps = -(-len(tokens.rows) // params.batch_size) * params.epochs
        rising = max(1, round(params.warmup * steps))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))
        )

    def epoch(self, number: int) -> float:
        """One pass over the texts; the mean loss."""
        self.team.give_weights(self.network)
        if self.team.stream:  # else members would draw the same dropout
            torch.manual_seed(np.random.SeedSequence((self.seed, number, *self.team.stream)).generate_state(1)[0])
        self.network.train()
        trained = [one for one in self.network.parameters() if one.requires_grad]
        total, count = 0.0, 0
        for chosen in self._batches(number):
            (own,) = self.team.part(chosen)
            self.optimiser.zero_grad(set_to_none=True)
            if len(own):
                loss = self._loss(own)
                if not torch.isfinite(loss):
                    raise Diverged(
                        f"learning_rate = {self.params.learning_rate:g}",
                        rule=f"the loss of epoch {number + 1} is no number",
                        fix="Lower it",
                    )
                loss.backward()
                total, count = total + float(loss.detach()) * len(own), count + len(own)
            self.team.average(trained, len(own))
            nn.utils.clip_grad_norm_(trained, LARGEST_NORM)
            self.optimiser.step()
            self.schedule.step()
        return self.team.mean({"loss": total / max(1, count)}, count)["loss"]

    def _loss(self, chosen: NDArray[np.int64]) -> torch.Tensor:
        ids, mask = self.tokens.batch(chosen)
        with precision(self.device, self.mixed):
            known = None if self.below is None else self.below.batch(self.tokens, chosen).to(self.device)
            logits = self.network(ids.to(self.device), mask.to(self.device), known)
        rows = torch.as_tensor(chosen)
        losses = self.loss(logits.float(), self.truth[rows].to(self.device)).mean(dim=1)
        return (losses * self.weight[rows].to(self.device)).mean()

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        random = np.random.default_rng((self.seed, epoch))
        order, size = random.permutation(len(self.tokens.rows)), self.params.batch_size
        lengths = np.array([len(row) for row in self.tokens.rows])
        batches = []
        for start in range(0, len(order), size * BUCKET_BATCHES):
            bucket = order[start : start + size * BUCKET_BATCHES]
            bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
            batches += [bucket[at : at + size] for at in range(0, len(bucket), size)]
        return [batches[i] for i in random.permutation(len(batches))]

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def keep(self, file: Path | None, state: _State) -> None:
        """Write the checkpoint of an epoch's end."""
        if file is None or self.team.rank:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        tensors = {f"network.{name}": tensor.cpu() for name, tensor in self.network.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
        for place, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{place}.{key}": torch.as_tensor(value).cpu() for key, value in values.items()}
        tensors["random"] = torch.get_rng_state()
        about = {
            "epoch": state.epoch,
            "waited": state.waited,
            "best_value": state.best_value,
            "best_epoch": state.best_epoch,
            "history": state.history,
            "schedule": self.schedule.last_epoch,
        }
        new = file.with_suffix(".new")
        save_file(
            {name: tensor.contiguous().clone() for name, tensor in tensors.items()}, new, {"state": json.dumps(about)}
        )
        keep_private(new)
        os.replace(new, file)
        self.team.keep(file)

    def resume(self, file: Path | None) -> _State:
        """The state of the last checkpoint, put in place; a fresh one where there is none."""
        if file is None or not file.is_file():
            return _State()
        from safetensors import safe_open

        with safe_open(file, "pt") as opened:
            about = json.loads(opened.metadata()["state"])
        tensors = load_file(file)
        self.network.load_state_dict(_below(tensors, "network."))
        groups = self.optimiser.state_dict()
        places: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _below(tensors, "adam.").items():
            place, _, key = name.partition(".")
            places.setdefault(int(place), {})[key] = tensor
        self.optimiser.load_state_dict({**groups, "state": places})
        self.schedule.last_epoch = about.pop("schedule")
        for group, base, factor in zip(
            self.optimiser.param_groups, self.schedule.base_lrs, self.schedule.lr_lambdas, strict=True
        ):
            group["lr"] = base * factor(self.schedule.last_epoch)
        torch.set_rng_state(tensors["random"])
        return _State(**about, best=_below(tensors, "best."))


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def checkpoint_name(params: TransformerParams, train: Examples, validation: Examples, seed: int) -> str:
    """Of the file of a fine-tuning, which no other one has."""
    digest = hashlib.sha256(params.model_dump_json(exclude={"threads", "export", "folds"}).encode())
    digest.update(str(seed).encode())
    for examples in (train, validation):
        digest.update("\0".join(examples.texts).encode("utf-8", "replace"))
        digest.update(np.packbits(examples.truth).tobytes())
        digest.update(b"" if examples.weight is None else examples.weight.tobytes())
    return f"{digest.hexdigest()[:24]}.safetensors"
