import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from recstage import bundle, verified_files
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.errors import BundleError
from recstage.models.baselines.popularity import Popularity
from recstage.models.factorization.als import ALS, ALSParams


@pytest.fixture
def fitted():
    rng = np.random.default_rng(0)
    pairs = np.argwhere(rng.random((30, 20)) < 0.3)
    frame = pd.DataFrame({"user_id": [f"u{u}" for u, _ in pairs], "item_id": [f"i{i}" for _, i in pairs]})
    train = Interactions.from_frame(frame.assign(timestamp=np.arange(len(frame))))
    items = pd.DataFrame({"item_id": ["i1"], "title": ["One"], "categories": [["a", "b"]], "available": [False]})
    return ALS(ALSParams(factors=4, iterations=2)).fit(
        train, seed=1, catalogue=Catalogue.from_frame(items, train.items)
    )


def test_no_file_of_a_bundle_can_be_read_by_other_accounts(fitted, tmp_path):
    bundle.save(fitted, tmp_path / "b")
    written = [tmp_path / "b", *(tmp_path / "b").rglob("*")]
    assert {path.stat().st_mode & 0o007 for path in written} == {0}


def test_a_bundle_answers_as_the_model_did(fitted, tmp_path):
    bundle.save(fitted, tmp_path / "b", metadata={"data": "tiny"})
    loaded = bundle.load(tmp_path / "b")
    users = [*fitted.train_.users.ids, "unknown"]
    assert loaded.model.recommend_batch(users) == fitted.recommend_batch(users)
    assert loaded.model.catalogue_.titles.tolist() == fitted.catalogue_.titles.tolist()
    assert loaded.model.catalogue_.categories == fitted.catalogue_.categories
    assert not loaded.model.catalogue_.available[fitted.items.index_of(["i1"])[0]]
    assert loaded.manifest.metadata == {"data": "tiny"}
    bundle.verify_answers(loaded)


def test_the_manifest_says_what_was_trained_on_what(fitted, tmp_path):
    manifest = bundle.save(fitted, tmp_path / "b")
    assert manifest == bundle.read_manifest(tmp_path / "b")
    assert (manifest.algorithm, manifest.n_users, manifest.n_items) == ("als", fitted.train_.n_users, 20)
    assert manifest.trained_until == int(fitted.train_.timestamp.max())
    assert manifest.train_fingerprint == fitted.train_.fingerprint
    assert set(manifest.files) == {"users.parquet", "items.parquet", "train.npz", "state.npz"}


@pytest.mark.parametrize("name", ["users.parquet", "items.parquet", "train.npz", "state.npz"])
def test_one_changed_byte_is_found(fitted, tmp_path, name):
    bundle.save(fitted, tmp_path / "b")
    path = tmp_path / "b" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} does not match its SHA-256"):
        bundle.load(tmp_path / "b")


def test_a_missing_file_is_named(fitted, tmp_path):
    bundle.save(fitted, tmp_path / "b")
    (tmp_path / "b" / "state.npz").unlink()
    with pytest.raises(BundleError, match="state.npz cannot be read"):
        bundle.load(tmp_path / "b")


def test_a_folder_without_manifest_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"manifest.json cannot be read .*Train it again"):
        bundle.load(tmp_path)


def test_a_truncated_manifest_is_malformed(fitted, tmp_path):
    bundle.save(fitted, tmp_path / "b")
    path = tmp_path / "b" / "manifest.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(BundleError, match="manifest.json is malformed"):
        bundle.load(tmp_path / "b")


def test_a_bundle_of_a_later_version_of_recstage_says_so(fitted, tmp_path):
    bundle.save(fitted, tmp_path / "b")
    path = tmp_path / "b" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2, "of_the_future": {}}))
    with pytest.raises(
        BundleError, match="its format is 2, and this version of recstage reads up to 1. Update recstage"
    ):
        bundle.load(tmp_path / "b")


@pytest.mark.parametrize("target", ["os:system", "recstage.config:ModelConfig", "recstage.models.factorization.als:np"])
def test_a_manifest_cannot_name_a_class_outside_the_models(fitted, tmp_path, target):
    bundle.save(fitted, tmp_path / "b")
    path = tmp_path / "b" / "manifest.json"
    content = json.loads(path.read_text())
    content["model"]["target"] = target
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match="does not fit its manifest"):
        bundle.load(tmp_path / "b")


def test_a_pickle_in_a_bundle_is_never_loaded(fitted, tmp_path):
    bundle.save(fitted, tmp_path / "b")
    np.savez(tmp_path / "b" / "state.npz", user_factors=np.array([{"not": "plain"}], dtype=object))
    path = tmp_path / "b" / "manifest.json"
    content = json.loads(path.read_text())
    content["files"]["state.npz"] = verified_files.digest_of(tmp_path / "b" / "state.npz")
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match="only pickle could read"):
        bundle.load(tmp_path / "b")


def test_arrays_that_expand_when_they_are_read_are_refused(fitted, tmp_path):
    bundle.save(fitted, tmp_path / "b")
    np.savez_compressed(tmp_path / "b" / "state.npz", user_factors=np.zeros(10_000_000))
    path = tmp_path / "b" / "manifest.json"
    content = json.loads(path.read_text())
    content["files"]["state.npz"] = verified_files.digest_of(tmp_path / "b" / "state.npz")
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match="state.npz holds compressed arrays"):
        bundle.load(tmp_path / "b")


def test_a_model_that_answers_otherwise_than_when_saved_is_refused(fitted, tmp_path):
    bundle.save(fitted, tmp_path / "b")
    loaded = bundle.load(tmp_path / "b")
    loaded.model.user_factors_ = loaded.model.user_factors_ + 1
    with pytest.raises(BundleError, match="must score as it did"):
        bundle.verify_answers(loaded)


def test_objects_are_no_state(fitted, tmp_path):
    class Odd(Popularity):
        def state(self):
            return {"scores": np.array(["a", None], dtype=object)}

    with pytest.raises(BundleError, match="plain arrays"):
        bundle.save(Odd().fit(fitted.train_), tmp_path / "b")


def test_loading_an_als_bundle_imports_neither_mlflow_nor_torch(fitted, tmp_path):
    bundle.save(fitted, tmp_path / "b")
    code = f"""
import sys; from pathlib import Path; from recstage import bundle
bundle.verify_answers(bundle.load(Path({str(tmp_path / "b")!r})))
print(sorted({{"mlflow", "torch", "lightgbm", "optuna", "matplotlib", "implicit", "sklearn"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_bundle_keeps_that_its_rows_are_unordered_and_what_is_known_of_items(tmp_path):
    frame = pd.DataFrame({"user_id": ["u", "u", "v", "v"], "item_id": ["a", "b", "a", "c"]})
    train = Interactions.from_frame(frame, ordered=False)
    items = pd.DataFrame({"item_id": ["a"], "price": [2.5], "colours": [["red"]], "new": pd.array([True], "boolean")})
    model = Popularity().fit(train, seed=1, catalogue=Catalogue.from_frame(items, train.items))
    bundle.save(model, tmp_path / "b")

    loaded = bundle.load(tmp_path / "b").model

    assert not loaded.train_.ordered
    assert loaded.catalogue_.attribute_kinds == {"price": "number", "colours": "list", "new": "boolean"}
    assert loaded.catalogue_.attributes.loc[0, "colours"] == ["red"]
