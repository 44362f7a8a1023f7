"""The generator: exact, seeded, bounded, and worth learning from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from recstage.config import DataConfig, EventsSource, SyntheticSource
from recstage.data.dataset import Dataset, prepare
from recstage.data.sources import events, synthetic
from recstage.data.synthetic import generator
from recstage.data.synthetic.generator import PROFILES, World

SMALL = SyntheticSource(users=150, items=80, interactions=6000, seed=3)


@pytest.mark.parametrize(
    "size", [(150, 80, 6000), (1, 1, 1), (3, 1, 50), (1, 40, 500), (50, 7, 60), (10, 500, 5), (20, 20, 8000)]
)
@pytest.mark.parametrize("profile", PROFILES)
def test_as_many_events_as_asked_for_within_bounds(size: tuple[int, int, int], profile: str) -> None:
    users, items, interactions = size
    config = SyntheticSource(users=users, items=items, interactions=interactions).model_copy(
        update={"profile": profile}
    )

    frame = synthetic.read(config).events

    assert len(frame) == interactions
    assert frame["user_id"].nunique() <= users
    assert frame["item_id"].nunique() <= items
    assert frame["timestamp"].is_monotonic_increasing
    assert set(frame["interaction_type"]) <= {kind.name for kind in PROFILES[profile]}


def test_the_world_of_the_demo_has_its_events() -> None:
    made = synthetic.read(SyntheticSource(users=1000, items=500, interactions=50_000))
    assert len(made.events) == 50_000


def test_the_same_seed_makes_the_same_world() -> None:
    first, second = synthetic.read(SMALL), synthetic.read(SMALL)
    other = synthetic.read(SMALL.model_copy(update={"seed": 4}))

    assert first.events.equals(second.events)
    assert first.items is not None
    assert second.items is not None
    assert first.items.equals(second.items)
    assert not first.events.equals(other.events)


def test_every_event_is_another_row() -> None:
    assert not synthetic.read(SMALL).events.duplicated().any()


def test_all_types_of_a_profile_happen_the_stronger_the_rarer() -> None:
    counts = synthetic.read(SMALL).events["interaction_type"].value_counts()

    assert counts["view"] > counts["click"] > counts["like"] > counts["share"] > 0


def test_stars_and_seconds_of_the_advice_profile() -> None:
    frame = synthetic.read(SMALL.model_copy(update={"profile": "advice"})).events

    stars = frame.loc[frame["interaction_type"] == "rate", "value"]
    assert set(stars) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert len(set(stars)) > 2
    assert (frame.loc[frame["interaction_type"] == "view", "value"] > 0).all()
    assert frame.loc[frame["interaction_type"] == "save", "value"].isna().all()


def test_items_have_titles_texts_and_categories_that_say_which_are_alike() -> None:
    items = synthetic.read(SMALL).items
    assert items is not None
    world = World(SMALL)
    cluster = np.empty(SMALL.items, int)
    cluster[world.item_at] = world.cluster_at
    words = [set(text.split()) for text in items["text"]]
    shared = np.array([[len(a & b) for b in words] for a in words])
    np.fill_diagonal(shared, 0)

    alike = cluster[:, None] == cluster[None]
    assert shared[alike].mean() > 2 * shared[~alike].mean()
    assert all(items["title"])
    assert all(1 <= len(names) <= 2 for names in items["categories"])


def test_popularity_is_skewed() -> None:
    counts = np.sort(synthetic.read(SMALL).events["item_id"].value_counts().to_numpy())[::-1]

    assert counts[:16].sum() > 0.3 * counts.sum()


def test_tastes_drift() -> None:
    config = SyntheticSource(users=300, items=2000, interactions=40_000)
    world = World(config)
    cluster = np.empty(config.items, int)
    cluster[world.item_at] = world.cluster_at
    frame = synthetic.read(config).events
    third = pd.qcut(frame["timestamp"], 3, labels=False).to_numpy()
    visited = np.zeros((3, config.users, world.n_clusters))
    np.add.at(visited, (third, frame["user_id"].cat.codes, cluster[frame["item_id"].cat.codes]), 1)
    visited = visited[:, (visited.sum(axis=2) > 0).all(axis=0)]
    early, middle, late = visited / np.linalg.norm(visited, axis=2, keepdims=True)

    near, far = (middle * late).sum(axis=1).mean(), (early * late).sum(axis=1).mean()

    assert near > 1.1 * far


def ndcg_at_10(scores: np.ndarray, dataset: Dataset) -> float:
    """Mean over test users, all unseen items ranked."""
    train, test = dataset.split.train_and_validation, dataset.split.test
    users = np.flatnonzero(test.lengths)
    scores = np.where(train.of(users).seen.toarray(), -np.inf, scores[users])
    top = np.argsort(-scores, axis=1)[:, :10]
    relevant = test.of(users).seen.toarray()
    discount = 1 / np.log2(np.arange(10) + 2)
    ideal = np.array([discount[: min(10, count)].sum() for count in relevant.sum(axis=1)])
    return float(((np.take_along_axis(relevant, top, axis=1) * discount).sum(axis=1) / ideal).mean())


@pytest.fixture(scope="module")
def learnable() -> Dataset:
    config = DataConfig(
        name="learnable",
        source=SyntheticSource(users=500, items=200, interactions=25_000),
        weights={kind.name: 1.0 for kind in PROFILES["feed"]},
    )
    return prepare(config, "learnable")


def test_neighbours_beat_popularity_clearly(learnable: Dataset) -> None:
    train = learnable.split.train_and_validation
    seen = train.all_users.seen.toarray().astype(float)
    unit = seen / np.maximum(np.linalg.norm(seen, axis=0), 1e-9)

    popularity = ndcg_at_10(np.repeat(seen.sum(axis=0)[None], len(seen), axis=0), learnable)
    neighbours = ndcg_at_10(seen @ (unit.T @ unit), learnable)

    assert neighbours > 1.5 * popularity


def test_what_followed_the_last_item_adds_to_neighbours(learnable: Dataset) -> None:
    train = learnable.split.train_and_validation
    seen = train.all_users.seen.toarray().astype(float)
    unit = seen / np.maximum(np.linalg.norm(seen, axis=0), 1e-9)
    similar = seen @ (unit.T @ unit)
    follows = np.zeros((train.n_items, train.n_items))
    same = train.user_index[1:] == train.user_index[:-1]
    np.add.at(follows, (train.item_index[:-1][same], train.item_index[1:][same]), 1)
    last = train.item_index[train.indptr[1:] - 1]

    scaled = similar / np.maximum(similar.max(axis=1, keepdims=True), 1e-9)
    chained = follows[last] / np.maximum(follows[last].max(axis=1, keepdims=True), 1e-9)

    assert ndcg_at_10(scaled + 0.3 * chained, learnable) > 1.05 * ndcg_at_10(scaled, learnable)


# -- streaming -------------------------------------------------------------------------------------------------------


def test_a_stream_holds_every_event_in_bounded_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "big.parquet"

    written = synthetic.stream(SMALL, path, block_events=1000)

    file = pq.ParquetFile(path)
    groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    most = World(SMALL).events_of.max()
    assert written == sum(groups) == 6000
    assert len(groups) >= 5
    assert max(groups) <= max(1000, most)
    assert [entry.name for entry in tmp_path.iterdir()] == ["big.parquet"]


def test_only_one_block_is_alive_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest draw grows with the block, not with the total."""
    drawn: list[int] = []
    original = World._block

    def watched(self: World, first: int, wanted: np.ndarray, rng: np.random.Generator) -> generator.Block:
        block = original(self, first, wanted, rng)
        drawn.append(len(block.user))
        return block

    monkeypatch.setattr(World, "_block", watched)
    for factor in (1, 4):
        config = SyntheticSource(users=150 * factor, items=80, interactions=6000 * factor)
        synthetic.stream(config, tmp_path / "x.parquet", block_events=1000)
        assert max(drawn) <= 1000
        assert sum(drawn) == 6000 * factor
        drawn.clear()


def test_a_stream_reads_back_as_events(tmp_path: Path) -> None:
    synthetic.stream(SMALL, tmp_path / "big.parquet", block_events=10_000)

    read = events.read(EventsSource(path=str(tmp_path / "big.parquet"))).events
    made = synthetic.read(SMALL).events

    columns = ["timestamp", "user_id", "item_id", "interaction_type"]
    assert read[columns].astype(str).sort_values(columns).values.tolist() == (
        made[columns].astype(str).sort_values(columns).values.tolist()
    )


def test_a_stream_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: World, events: int = 0):  # type: ignore[no-untyped-def]
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(World, "blocks", broken)

    with pytest.raises(KeyboardInterrupt):
        synthetic.stream(SMALL, tmp_path / "big.parquet")

    assert list(tmp_path.iterdir()) == []
