"""A classifier on disk: a manifest, safetensors and JSON, no pickle; all that serving needs in one folder.

manifest.json        what it is, its label map and thresholds, SHA-256 of every other file, answers to check it by
weights.safetensors  every array: the family's weights, the calibration
vocabulary.json      n-grams of the linear model, in order of its features
tokenizer.json       of the encoder; encoder.json its configuration
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as dump_arrays

from recstage.classifier.model import Classifier
from recstage.config import Schema, keep_private
from recstage.config.classifier import ClassifierConfig
from recstage.errors import BundleError, RecstageError, refuse_newer

FORMAT: Literal[1] = 1
MANIFEST = "manifest.json"
KIND = "item-classifier"
WEIGHTS, VOCABULARY, TOKENIZER, ENCODER = "weights.safetensors", "vocabulary.json", "tokenizer.json", "encoder.json"
LIBRARIES = ("recstage", "numpy", "scipy", "scikit-learn", "torch", "transformers", "tokenizers", "safetensors")
TOLERANCE = 2e-3


class Golden(Schema):
    """A text's probabilities when the bundle was made: a loaded classifier must give the same."""

    text: str
    probabilities: list[float]


class ClassifierManifest(Schema):
    """What a classifier's bundle records about itself."""

    format: Literal[1] = FORMAT
    kind: Literal["item-classifier"] = "item-classifier"
    algorithm: str
    created_at: datetime
    trained_until: int = Field(description="when its texts were read, Unix time")
    labels: list[str] = Field(description="the classes in order of the columns")
    thresholds: list[float]
    config: ClassifierConfig
    ensemble: tuple[float, float, float] | None = Field(None, description="share of the transformer, both scales")
    n_texts: int
    trained_on: list[str] = Field(description="digests of the training texts, by which test texts are told apart")
    metadata: dict[str, Any] = Field(default_factory=dict)
    libraries: dict[str, str]
    golden: list[Golden]
    files: dict[str, str] = Field(description="SHA-256 of every file, by name")


def save(
    classifier: Classifier, folder: Path, *, texts: list[str], metadata: Mapping[str, Any] | None = None
) -> ClassifierManifest:
    """Write a classifier and what it was trained on (`texts`, as digests) into `folder`, empty or absent."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays, files, ensemble = _contents(classifier)
    curve = classifier.calibration
    arrays |= {f"calibration.{name}": getattr(curve, name) for name in ("slope", "offset", "knots", "values")}
    plain = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    (folder / WEIGHTS).write_bytes(dump_arrays(plain))
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    some = [texts[i] for i in np.linspace(0, len(texts) - 1, min(3, len(texts))).astype(int)]
    now = datetime.now(UTC)
    manifest = ClassifierManifest(
        algorithm=f"classifier-{classifier.config.family}",
        created_at=now,
        trained_until=int(now.timestamp()),
        labels=list(classifier.labels),
        thresholds=[float(one) for one in classifier.thresholds],
        config=classifier.config,
        ensemble=ensemble,
        n_texts=len(texts),
        trained_on=[digest_of(text) for text in texts],
        metadata=dict(metadata or {}),
        libraries=_versions(),
        golden=[
            Golden(text=text, probabilities=[float(p) for p in row])
            for text, row in zip(some, classifier.probabilities(some), strict=True)
        ],
        files={path.name: _sha256(path.read_bytes()) for path in sorted(folder.iterdir())},
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1))
    keep_private(folder)
    return manifest


def load(folder: Path) -> tuple[ClassifierManifest, Classifier]:
    """Read, check every digest and answer the golden texts. Raises `BundleError`; `ExternalToolError` where it needs
    the extra `text` and that is missing."""
    manifest = read_manifest(folder)
    try:
        found = _load(manifest, folder)
    except RecstageError:
        raise
    except Exception as error:  # whatever a malformed file makes a library raise
        raise _broken(folder, f"its content does not fit its manifest ({type(error).__name__}: {error})") from error
    _verify(manifest, found, folder)
    return manifest, found


def is_classifier(folder: Path) -> bool:
    """Whether the manifest of a bundle says that it is a classifier; False where there is none that can be read."""
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("kind") == KIND


def read_manifest(folder: Path) -> ClassifierManifest:
    """The manifest alone. Raises `BundleError` where it is missing or malformed."""
    try:
        text = (folder / MANIFEST).read_bytes()
        return ClassifierManifest.model_validate_json(text)
    except OSError as error:
        raise _broken(folder, f"{MANIFEST} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        refuse_newer(f"classifier's bundle '{folder.name}'", text, FORMAT)
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _broken(folder, f"{MANIFEST} is malformed ({where}: {first['msg']})") from error


def digest_of(text: str) -> str:
    """By which a text is recognised without being kept."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _contents(
    classifier: Classifier,
) -> tuple[dict[str, NDArray], dict[str, str], tuple[float, float, float] | None]:
    model, family = classifier.model, classifier.config.family
    both = family == "ensemble"
    arrays: dict[str, NDArray] = {}
    files: dict[str, str] = {}
    if family != "transformer":
        part = model.linear if both else model  # type: ignore[union-attr]
        arrays |= {f"linear.{name}": values for name, values in part.arrays().items()}  # type: ignore[union-attr]
        files[VOCABULARY] = json.dumps(part.vocabularies(), ensure_ascii=False)  # type: ignore[union-attr]
    if family != "linear":
        part = model.transformer if both else model  # type: ignore[union-attr]
        arrays |= {f"transformer.{name}": values for name, values in part.arrays().items()}  # type: ignore[union-attr]
        files[TOKENIZER] = part.tokenizer  # type: ignore[union-attr]
        files[ENCODER] = json.dumps(dict(part.encoder_config))  # type: ignore[union-attr]
    return arrays, files, (model.share, *model.scales) if both else None  # type: ignore[union-attr]


def _load(manifest: ClassifierManifest, folder: Path) -> Classifier:
    from recstage.classifier.calibration import Calibration

    config, classes = manifest.config, len(manifest.labels)
    if len(set(manifest.labels)) != classes or len(manifest.thresholds) != classes:
        raise _broken(
            folder, f"its label map of {classes} classes does not fit its {len(manifest.thresholds)} thresholds"
        )
    arrays = load_arrays(_file(folder, manifest, WEIGHTS))
    curve = Calibration(**_below(arrays, "calibration."))
    if len(curve.slope) != classes:
        raise _broken(
            folder, f"its label map of {classes} classes does not fit its weights, which have {len(curve.slope)}"
        )
    parts: dict[str, Any] = {}
    if config.family != "transformer":
        from recstage.classifier.families import linear

        vocabularies = json.loads(_file(folder, manifest, VOCABULARY))
        parts["linear"] = linear.restore(config.linear, _below(arrays, "linear."), vocabularies, classes)
    if config.family != "linear":
        from recstage.classifier.families.encoder import require_extra

        require_extra()
        from recstage.classifier.families import transformer

        tokenizer, encoder = (_file(folder, manifest, name).decode() for name in (TOKENIZER, ENCODER))
        weights = _below(arrays, "transformer.")
        parts["transformer"] = transformer.restore(config.transformer, weights, encoder, tokenizer, classes)
    model = parts.get(config.family)
    if config.family == "ensemble":
        from recstage.classifier.families.ensemble import EnsembleText

        if manifest.ensemble is None:
            raise _broken(folder, "its manifest lacks the shares of the ensemble")
        share, *scales = manifest.ensemble
        model = EnsembleText(parts["linear"], parts["transformer"], share, (scales[0], scales[1]))
    return Classifier(config, tuple(manifest.labels), model, curve, np.array(manifest.thresholds))  # type: ignore[arg-type]


def _verify(manifest: ClassifierManifest, classifier: Classifier, folder: Path) -> None:
    if not manifest.golden:
        return
    found = classifier.probabilities([one.text for one in manifest.golden])
    kept = np.array([one.probabilities for one in manifest.golden])
    if found.shape != kept.shape or not np.allclose(found, kept, atol=TOLERANCE):
        raise _broken(folder, "a loaded classifier must answer as it did when it was saved")


def _file(folder: Path, manifest: ClassifierManifest, name: str) -> bytes:
    if name not in manifest.files:
        raise _broken(folder, f"{name} is not listed in its manifest")
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise _broken(folder, f"{name} cannot be read ({error.strerror})") from error
    if _sha256(content) != manifest.files[name]:
        raise _broken(folder, f"{name} does not match its SHA-256")
    return content


def _below(arrays: Mapping[str, NDArray], prefix: str) -> dict[str, NDArray]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _broken(folder: Path, what: str) -> BundleError:
    return BundleError(
        f"classifier's bundle '{folder.name}'", rule=what, fix="Train it again, or promote another version"
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
