"""What a file is that is no text, by its first bytes: for messages that name the right reason."""

from __future__ import annotations

SIGNATURES = (
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet (.xlsx)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls)"),
    (b"SQLite format 3", "an SQLite database"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"%PDF-", "a PDF file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"\x7fELF", "a program"),
)
MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16, whose text is full of zeros
CONTROL = frozenset(range(32)) - {*b"\t\n\r\f\v\x00\x01\x02\x1c\x1d\x1e\x1f"}
"""Bytes that text does not hold; some exports part fields with the others."""
MOST = 0.03


def what_it_is(head: bytes) -> str | None:
    """What the first bytes show, with its article; None where they may be text."""
    for signature, kind in SIGNATURES:
        if head.startswith(signature):
            return kind
    sample = head[:8192]
    if sample.startswith(MARKS) or len(sample) < 64:
        return None
    control = sum(byte in CONTROL for byte in sample)
    return "a binary file" if control > MOST * len(sample) else None
