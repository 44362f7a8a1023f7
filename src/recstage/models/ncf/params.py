"""Hyperparameters of NCF."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from recstage.models import base


class NcfParams(base.ModelParams):
    """Hyperparameters of `Ncf`; the defaults are the MLP of the paper."""

    variant: Literal["mlp", "gmf", "neumf"] = Field("mlp", description="the MLP, the weighted product (GMF), or both")
    factors: PositiveInt = Field(64, description="size of each embedding (GMF and MLP have their own)")
    layers: tuple[PositiveInt, ...] = Field(
        (128, 64, 32), min_length=1, description="widths of the MLP's hidden layers"
    )
    epochs: PositiveInt = Field(20, description="most passes over the data; the learning rate falls to 0 over them")
    learning_rate: float = Field(0.001, gt=0, description="of Adam")
    batch_size: PositiveInt = Field(4096, description="pairs a step, negatives included")
    n_negatives: PositiveInt = Field(4, description="unseen items sampled for every positive, anew each epoch")
    negatives: Literal["sampled", "all"] = Field(
        "sampled", description="all: every unseen item, weighted by how often it would be sampled on average; no noise"
    )
    popularity_exponent: float = Field(
        0.0, description="negatives are weighted by their popularity to this power; 0: all alike"
    )
    objective: Literal["pairs", "softmax"] = Field(
        "pairs",
        description="pairs: cross-entropy of each pair, positive or negative, as in the paper; softmax: of each "
        "positive among the catalogue, or, where negatives are sampled, among n_negatives items drawn for a step",
    )
    recency_decay: float = Field(
        0.0, ge=0, description="a user's n-th last choice weighs 1/n**recency_decay; the mean of their weights stays"
    )
    patience: NonNegativeInt = Field(5, description="epochs without a better validation before stopping; 0: never")
    regularization: float = Field(0.0, ge=0, description="L2 of the embeddings of every pair trained on")
    item_regularization: float | None = Field(None, ge=0, description="the same for items alone; none: as for users")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the MLP's hidden units")
    pretrain: int = Field(
        0, ge=0, description="NeuMF: epochs of training GMF and MLP alone, to start from their weights; 0: none"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of matrix products in training; auto: bf16 where the processor multiplies it natively"
    )
    prune: float = Field(
        0.0, ge=0, lt=1, description="share of each matrix's weights, the smallest, set to zero when the training ends"
    )
    prune_epochs: NonNegativeInt = Field(5, description="epochs in which the weights that are left are trained on")
    distillation_weight: float = Field(
        0.5, ge=0, le=1, description="with a teacher (`distill_from`): share of its scores in the loss"
    )
    temperature: float = Field(2.0, gt=0, description="of the softmax of the teacher's scores")
    distilled_items: PositiveInt = Field(4096, description="of more items, so many are drawn for a step's softmax")
    export: Literal["fp32", "int8"] = Field(
        "fp32", description="int8: weights are rounded to eight bits when the fit ends; a quarter of the bundle's size"
    )
