"""MovieLens in every layout gives the same tables."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from recstage.config import MovieLensSource
from recstage.data.sources import movielens
from recstage.errors import DataError

FLAGS = dict.fromkeys(range(19), "0")


def u_item(number: int, title: str, *genres: int) -> str:
    flags = "|".join({**FLAGS, **dict.fromkeys(genres, "1")}.values())
    return f"{number}|{title}|01-Jan-1995||http://example.org|{flags}\n"


LAYOUTS = {
    "100k": {
        "u.data": "1\t10\t5\t881250949\n2\t11\t3\t881250950\n",
        "u.item": (u_item(10, "Les Misérables (1995)", 8) + u_item(11, "Heat (1995)", 1, 6)).encode("latin-1"),
        "u.user": "1|24|M|technician|85711\n",
    },
    "1m": {
        "ratings.dat": "1::10::5::881250949\n2::11::3::881250950\n",
        "movies.dat": "10::Les Misérables (1995)::Drama\n11::Heat (1995)::Action|Crime\n".encode("latin-1"),
        "users.dat": "1::F::1::10::48067\n",
    },
    "10m": {
        "ratings.dat": "1::10::5::881250949\n2::11::3.0::881250950\n",
        "movies.dat": "10::Les Misérables (1995)::Drama\n11::Heat (1995)::Action|Crime\n".encode(),
        "tags.dat": "1::10::sad::881250949\n",
    },
    "csv": {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,10,5.0,881250949\n2,11,3.0,881250950\n",
        "movies.csv": 'movieId,title,genres\n10,"Les Misérables (1995)",Drama\n11,Heat (1995),Action|Crime\n',
        "tags.csv": "userId,movieId,tag,timestamp\n1,10,sad,881250949\n",
        "links.csv": "movieId,imdbId,tmdbId\n10,1,1\n",
    },
}


def folder_of(layout: str, tmp_path: Path) -> Path:
    folder = tmp_path / f"ml-{layout}"
    folder.mkdir()
    for name, content in LAYOUTS[layout].items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_ratings_and_movies(layout: str, tmp_path: Path) -> None:
    raw = movielens.read(MovieLensSource(path=str(folder_of(layout, tmp_path))))

    assert raw.events["user_id"].tolist() == ["1", "2"]
    assert raw.events["item_id"].tolist() == ["10", "11"]
    assert raw.events["value"].tolist() == [5.0, 3.0]
    assert raw.events["timestamp"].tolist() == [881250949, 881250950]
    assert raw.events["interaction_type"].tolist() == ["rating", "rating"]
    assert raw.time_is_clock
    assert raw.items is not None
    assert raw.items["item_id"].tolist() == ["10", "11"]
    assert raw.items["title"].tolist() == ["Les Misérables (1995)", "Heat (1995)"]
    assert raw.items["categories"].tolist() == [["Drama"], ["Action", "Crime"]]


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tgz", "tar.xz"])
def test_an_archive_reads_like_its_folder(suffix: str, tmp_path: Path) -> None:
    folder = folder_of("1m", tmp_path)
    archive = tmp_path / f"ml-1m.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for member in sorted(folder.iterdir()):
                file.write(member, f"ml-1m/{member.name}")
    else:
        with tarfile.open(archive, f"w:{suffix.partition('.')[2] or ('gz' if suffix == 'tgz' else '')}") as tar:
            tar.add(folder, "ml-1m")
    from_folder = movielens.read(MovieLensSource(path=str(folder)))

    from_archive = movielens.read(MovieLensSource(path=str(archive)))

    assert from_archive.events.equals(from_folder.events)
    assert from_archive.items is not None
    assert from_archive.items.equals(from_folder.items)


def test_movies_without_a_genre_have_no_categories(tmp_path: Path) -> None:
    folder = folder_of("csv", tmp_path)
    (folder / "movies.csv").write_text("movieId,title,genres\n10,A,(no genres listed)\n")

    raw = movielens.read(MovieLensSource(path=str(folder)))

    assert raw.items is not None
    assert raw.items["categories"].tolist() == [[]]


def test_texts_from_another_file_join_by_id(tmp_path: Path) -> None:
    folder = folder_of("1m", tmp_path)
    plots = tmp_path / "plots.jsonl"
    plots.write_text('{"movie_id": 10, "title": "other", "plot": "Bread is stolen.", "director": "A. Director"}\n')

    raw = movielens.read(MovieLensSource(path=str(folder), items_path=str(plots)))

    assert raw.items is not None
    first = raw.items.set_index("item_id").loc["10"]
    assert first["title"] == "Les Misérables (1995)"
    assert first["text"] == "Bread is stolen. A. Director"


def test_ratings_alone_are_enough(tmp_path: Path) -> None:
    folder = folder_of("1m", tmp_path)
    (folder / "movies.dat").unlink()

    assert movielens.read(MovieLensSource(path=str(folder))).items is None


def test_a_line_with_too_few_fields_or_no_number_is_named(tmp_path: Path) -> None:
    folder = folder_of("100k", tmp_path)
    (folder / "u.data").write_text("1\t10\t5\t881250949\n1\t10\n2\t11\tgood\t881250950\n")

    raw = movielens.read(MovieLensSource(path=str(folder)))

    assert len(raw.events) == 1
    assert raw.rows_read == 3
    assert raw.rejected.first == {
        "wrong number of fields": ("line 2: '1\t10'",),
        "unreadable value": ("line 3: value 'good'",),
    }


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data path '.*nowhere': no such file or folder\. Correct the path"):
        movielens.read(MovieLensSource(path=str(tmp_path / "nowhere")))


def test_a_folder_without_ratings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds one of u\.data, ratings\.dat, ratings\.csv"):
        movielens.read(MovieLensSource(path=str(tmp_path)))


def test_an_empty_ratings_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("")

    with pytest.raises(DataError, match=r"u\.data: is empty\. Give a file with rows"):
        movielens.read(MovieLensSource(path=str(tmp_path)))


def test_ratings_with_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("who,what\n1,2\n")

    with pytest.raises(DataError, match="columns who, what: MovieLens has userId, movieId, rating, timestamp"):
        movielens.read(MovieLensSource(path=str(tmp_path)))


def test_neither_path_nor_release_is_refused() -> None:
    with pytest.raises(DataError, match="a MovieLens source without a path"):
        movielens.read(MovieLensSource())


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_a_truncated_archive_is_refused(suffix: str, tmp_path: Path) -> None:
    folder = folder_of("1m", tmp_path)
    made = Path(shutil.make_archive(str(tmp_path / "made"), "zip" if suffix == "zip" else "gztar", folder))
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(made.read_bytes()[: made.stat().st_size // 2])

    with pytest.raises(DataError, match=r"cut\..*: is truncated or damaged .*Get the file again"):
        movielens.read(MovieLensSource(path=str(cut)))


def test_an_archive_whose_bytes_were_changed_is_refused(tmp_path: Path) -> None:
    folder = folder_of("1m", tmp_path)
    archive = tmp_path / "changed.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.write(folder / "ratings.dat", "ratings.dat")
    archive.write_bytes(archive.read_bytes().replace(b"1::10::5", b"1::10::1"))

    with pytest.raises(DataError, match="is truncated or damaged"):
        movielens.read(MovieLensSource(path=str(archive)))


def test_a_file_called_zip_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("not an archive")

    with pytest.raises(DataError, match="is truncated or damaged"):
        movielens.read(MovieLensSource(path=str(tmp_path / "a.zip")))
