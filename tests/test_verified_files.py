"""Arrays are mapped from files that were checked, and come out as they went in."""

import mmap

import numpy as np
import pytest

from recstage.errors import BundleError
from recstage.verified_files import ALIGNMENT, VerifiedFiles, digest_of, write_arrays

ARRAYS = {
    "rows": np.arange(1000, dtype=np.int64),
    "odd": np.frombuffer(b"abc", np.uint8),
    "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
    "columns first": np.asfortranarray(np.arange(12, dtype=np.float64).reshape(3, 4)),
    "nothing": np.empty((0, 5), np.int32),
    "scalar": np.array(7.5),
    "texts": np.array(["é", "abc"]),
    "flags": np.array([True, False]),
}


def files_of(folder) -> VerifiedFiles:
    digests = {path.name: digest_of(path) for path in folder.iterdir()}
    return VerifiedFiles(folder, digests, lambda what: BundleError("it", rule=what, fix="Mend it"))


def base_of(values):
    while isinstance(values, np.ndarray):
        values = values.base
    return values.obj if isinstance(values, memoryview) else values


def test_arrays_are_mapped_read_only_and_as_they_were(tmp_path):
    write_arrays(tmp_path / "a.npz", ARRAYS)
    found = files_of(tmp_path).arrays("a.npz")
    assert list(found) == list(ARRAYS)
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype
        assert not found[name].flags.writeable
        assert isinstance(base_of(found[name]), mmap.mmap), name
        assert found[name].size == 0 or found[name].ctypes.data % ALIGNMENT == 0


def test_numpy_reads_what_was_written(tmp_path):
    write_arrays(tmp_path / "a.npz", ARRAYS)
    with np.load(tmp_path / "a.npz") as found:
        for name, values in ARRAYS.items():
            np.testing.assert_array_equal(found[name], values)


def test_what_numpy_wrote_is_read_too(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    for name, values in files_of(tmp_path).arrays("a.npz").items():
        np.testing.assert_array_equal(values, ARRAYS[name])
        assert values.flags.aligned


def test_no_arrays_at_all(tmp_path):
    write_arrays(tmp_path / "a.npz", {})
    assert files_of(tmp_path).arrays("a.npz") == {}


def test_a_replaced_file_leaves_the_arrays_alone(tmp_path):
    write_arrays(tmp_path / "a.npz", ARRAYS)
    found = files_of(tmp_path).arrays("a.npz")
    (tmp_path / "b.npz").write_bytes(b"something else")
    (tmp_path / "b.npz").rename(tmp_path / "a.npz")
    np.testing.assert_array_equal(found["rows"], ARRAYS["rows"])


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(17), bytes(5000)])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(Exception, match="zip|seek|header") as caught:
        files_of(tmp_path).arrays("a.npz")
    assert isinstance(caught.value, (ValueError, OSError)) or type(caught.value).__name__ == "BadZipFile"


def test_an_array_larger_than_its_file_is_refused(tmp_path):
    write_arrays(tmp_path / "a.npz", {"rows": np.arange(1000)})
    content = (tmp_path / "a.npz").read_bytes().replace(b"(1000,)", b"(9000,)")
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises((TypeError, ValueError)):
        files_of(tmp_path).arrays("a.npz")


@pytest.mark.parametrize(("change", "said"), [("other", "does not match its SHA-256"), ("gone", "cannot be read")])
def test_a_file_that_is_not_the_one_listed_is_refused(tmp_path, change, said):
    write_arrays(tmp_path / "a.npz", ARRAYS)
    files = files_of(tmp_path)
    if change == "other":
        (tmp_path / "a.npz").write_bytes(b"other")
    else:
        (tmp_path / "a.npz").unlink()
    with pytest.raises(BundleError, match=said):
        files.arrays("a.npz")
    with pytest.raises(BundleError, match="not listed"):
        files.arrays("c.npz")
