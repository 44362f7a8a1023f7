"""The linear family: TF-IDF of words and letters, one logistic regression a class (scikit-learn), each n-gram scaled by
how much more or less often texts of the class have it (Wang and Manning 2012, "Baselines and Bigrams").

The scales are multiplied into the coefficients. What is kept are plain arrays and two vocabularies; a loaded model is
the same code with those put in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from recstage.config.classifier import ClassifierConfig, LinearParams
from recstage.errors import BundleError, DataError

KINDS = ("words", "letters")


@dataclass(eq=False)
class LinearText:
    """A fitted linear model: `coefficients` float32[features, classes], `intercept` float64[classes]."""

    params: LinearParams
    vectorizers: dict[str, TfidfVectorizer]
    coefficients: NDArray[np.float32]
    intercept: NDArray[np.float64]

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-odds, float64[n, classes]."""
        return np.asarray(_features(self.vectorizers, texts) @ self.coefficients, np.float64) + self.intercept

    def arrays(self) -> dict[str, NDArray]:
        """Everything numeric, by name."""
        idf = {f"idf_{kind}": np.asarray(one.idf_, np.float64) for kind, one in self.vectorizers.items()}
        return {"coefficients": self.coefficients, "intercept": self.intercept, **idf}

    def vocabularies(self) -> dict[str, list[str]]:
        """The n-grams of each kind in order of their columns."""
        return {kind: one.get_feature_names_out().tolist() for kind, one in self.vectorizers.items()}


def fit(
    texts: Sequence[str],
    truth: NDArray[np.bool_],
    config: ClassifierConfig,
    positive_weight: NDArray[np.float64],
    weight: NDArray[np.float64] | None = None,
) -> LinearText:
    """Fit on texts and truth bool[n, classes]; `positive_weight` float64[classes], `weight` float64[n]. Raises
    `DataError` where the texts hold no word that counts."""
    params = config.linear
    vectorizers = _vectorizers(params)
    try:
        features = sparse.hstack([one.fit_transform(texts) for one in vectorizers.values()], format="csr")
    except ValueError as error:  # "empty vocabulary"
        raise DataError(
            f"{len(texts)} texts",
            rule=f"no n-gram is in {params.min_texts} of them",
            fix="Give more text, or lower classifier.linear.min_texts",
        ) from error
    scales = _scales(features, truth, params.naive_bayes, weight)
    columns, intercept = [], []
    for k, positives in enumerate(truth.sum(axis=0).tolist()):
        if positives in (0, len(truth)):  # no words can tell what all have, or none
            columns.append(np.zeros(features.shape[1]))
            intercept.append(float(np.log((positives + 1) / (len(truth) - positives + 1))))
            continue
        model = LogisticRegression(
            C=params.C, solver="liblinear", max_iter=200, class_weight={0: 1.0, 1: float(positive_weight[k])}
        ).fit(features @ sparse.diags_array(scales[:, k]), truth[:, k].astype(int), sample_weight=weight)
        columns.append(model.coef_[0] * scales[:, k])
        intercept.append(float(model.intercept_[0]))
    return LinearText(params, vectorizers, np.column_stack(columns).astype(np.float32), np.array(intercept))


def _scales(
    features: sparse.csr_matrix, truth: NDArray[np.bool_], share: float, weight: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """float64[features, classes]: `share` of the size of the log-count ratio of a class's texts to the others', each
    count one more than it is, and the rest of 1."""
    each = np.ones(len(truth)) if weight is None else weight
    present = (features > 0).astype(np.float64).T
    inside = present @ (truth * each[:, None])
    outside = (present @ each)[:, None] - inside
    ratio = np.log((inside + 1) / (inside + 1).sum(axis=0)) - np.log((outside + 1) / (outside + 1).sum(axis=0))
    return (1 - share) + share * np.abs(ratio)


def restore(
    params: LinearParams, arrays: Mapping[str, NDArray], vocabularies: Mapping[str, Sequence[str]], classes: int
) -> LinearText:
    """The model that was stored. Raises `BundleError` where labels, vocabulary and weights do not fit each other."""
    vectorizers = _vectorizers(params)
    for kind, one in vectorizers.items():
        names, idf = vocabularies[kind], np.asarray(arrays[f"idf_{kind}"], np.float64)
        if len(names) != len(idf):
            raise _misfit(f"{len(names)} n-grams of {kind} and {len(idf)} weights")
        one.vocabulary = {name: place for place, name in enumerate(names)}
        one.fit([""])  # a given vocabulary is taken as it is
        one.idf_ = idf
    coefficients = np.asarray(arrays["coefficients"], np.float32)
    features = sum(len(vocabularies[kind]) for kind in vectorizers)
    if coefficients.shape != (features, classes):
        raise _misfit(f"weights of {coefficients.shape} for {features} features and {classes} labels")
    return LinearText(params, vectorizers, coefficients, np.asarray(arrays["intercept"], np.float64))


def _vectorizers(params: LinearParams) -> dict[str, TfidfVectorizer]:
    shared = {"sublinear_tf": True, "max_features": params.max_features, "strip_accents": "unicode"}
    found = {
        "words": TfidfVectorizer(
            ngram_range=(1, params.word_ngrams), min_df=params.min_texts, stop_words="english", **shared
        )
    }
    if params.char_ngrams:
        lengths = (min(3, params.char_ngrams), params.char_ngrams)
        found["letters"] = TfidfVectorizer(
            analyzer="char_wb", ngram_range=lengths, min_df=2 * params.min_texts, **shared
        )
    return found


def _features(vectorizers: Mapping[str, TfidfVectorizer], texts: Sequence[str]) -> sparse.csr_matrix:
    parts = [one.transform(texts) for one in vectorizers.values()]
    return sparse.csr_matrix(sparse.hstack(parts, format="csr"))


def _misfit(what: str) -> BundleError:
    return BundleError(
        "the classifier's bundle", rule=f"its label map does not fit its weights: {what}", fix="Train it again"
    )
