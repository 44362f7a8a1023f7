"""Files that are checked against their SHA-256 before anything is made of them; arrays are mapped, not copied.

Processes that load the same files share one copy of their arrays in memory: the operating system's cache of the file.
What was verified stays mapped where a file is replaced or removed. A file that is changed in place changes the arrays.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from recstage.errors import BundleError

ALIGNMENT = 64
"""Bytes: arrays begin at multiples of it, as memory of NumPy's own does."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_PADDING = struct.Struct("<HH")
_PADDING_ID = 0xD935
"""An extra field of ZIP that holds nothing but padding, as Android's zipalign writes it."""
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_ZIP64_FIELD = 20
"""Bytes that `zipfile` adds to the local header of a member of any size."""


def write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write arrays of any shape as an uncompressed .npz that `numpy.load` reads and `VerifiedFiles.arrays` maps."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            data = archive.start_dir + _LOCAL_HEADER.size + len(member.filename.encode()) + _ZIP64_FIELD + _PADDING.size
            padding = -data % ALIGNMENT
            member.extra = _PADDING.pack(_PADDING_ID, padding) + bytes(padding)
            with archive.open(member, "w", force_zip64=True) as out:
                npy.write_array(out, np.asarray(values), allow_pickle=False)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class VerifiedFiles:
    """The files of a folder by name, each checked against its digest when it is asked for.

    Args:
        folder: where they are.
        digests: SHA-256 of each, by its path below the folder.
        broken: makes the error to raise of what is wrong with a file.
    """

    def __init__(self, folder: Path, digests: Mapping[str, str], broken: Callable[[str], BundleError]) -> None:
        self._folder, self._digests, self._broken = folder, digests, broken

    def content(self, name: str) -> mmap.mmap | bytes:
        """The bytes of a file, mapped read-only. Raises the error of `broken`."""
        if name not in self._digests:
            raise self._broken(f"{name} is not listed in its manifest")
        try:
            with (self._folder / name).open("rb") as file:
                empty = file.seek(0, io.SEEK_END) == 0
                content = b"" if empty else _Mapping(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise self._broken(f"{name} cannot be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != self._digests[name]:
            raise self._broken(f"{name} does not match its SHA-256")
        return content

    def open(self, name: str) -> io.BytesIO:
        """A file to read from memory. Raises the error of `broken`."""
        return io.BytesIO(self.content(name))

    def arrays(self, name: str) -> dict[str, NDArray]:
        """The arrays of an .npz by name, read-only. Raises the error of `broken`, `ValueError` or `BadZipFile`."""
        content = self.content(name)
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        with zipfile.ZipFile(cast(IO[bytes], file)) as archive:
            members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            # arrays are as large in memory as on disk: a few bytes cannot expand to gigabytes
            raise self._broken(f"{name} holds compressed arrays")
        return {member.filename.removesuffix(".npy"): _mapped(file, member) for member in members}


class _Mapping(mmap.mmap):
    """A mapped file that refuses to seek before its beginning as other files do."""

    def seek(self, position: int, whence: Literal[0, 1, 2, 3, 4] = 0) -> None:
        try:
            super().seek(position, whence)
        except ValueError as error:
            raise OSError(str(error)) from error


def _mapped(file: mmap.mmap | io.BytesIO, member: zipfile.ZipInfo) -> NDArray:
    """One array of an uncompressed .npz, over the file's own bytes where they are aligned."""
    file.seek(member.header_offset)
    magic, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if magic != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no local header of {member.filename}")
    file.seek(member.header_offset + _LOCAL_HEADER.size + name + extra)
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of .npy")
    shape, by_column, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("an array of objects, which only pickle could read")
    whole = file if isinstance(file, mmap.mmap) else file.getbuffer()
    values = np.ndarray(shape, dtype, whole, file.tell(), order="F" if by_column else "C")
    values.flags.writeable = False
    return values if values.flags.aligned else values.copy()
