"""What a file is that is no table of lines, by its first bytes: for messages that name the right reason."""

from __future__ import annotations

import re

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
TEXTS = (
    (re.compile(rb"<!doctype html|<html|<head\b|<body\b|<table\b", re.IGNORECASE), "a web page (HTML)"),
    (re.compile(rb"<\?xml|<[A-Za-z][\w:.-]*(?:\s[^<>]*)?>\s*<"), "an XML file"),
    (
        re.compile(
            rb"(?:(?:--|/\*)[^\n]*\n|\s)*(?:INSERT\s+INTO|CREATE\s+(?:TABLE|DATABASE|SCHEMA)|DROP\s+TABLE|SET\s+\w+\s*=|"
            rb"BEGIN;|COPY\s+\S+\s*\()",
            re.IGNORECASE,
        ),
        "a dump of a database (SQL)",
    ),
)
"""Text that is no table of lines, by how it begins."""
MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16, whose text is full of zeros
CONTROL = frozenset(range(32)) - {*b"\t\n\r\f\v\x00\x01\x02\x1c\x1d\x1e\x1f"}
"""Bytes that text does not hold; some exports part fields with the others."""
MOST = 0.03


def what_it_is(head: bytes) -> str | None:
    """What the first bytes show, with its article; None where they may be text."""
    for signature, kind in SIGNATURES:
        if head.startswith(signature):
            return kind
    beginning = head[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, kind in TEXTS:
        if pattern.match(beginning):
            return kind
    sample = head[:8192]
    if sample.startswith(MARKS) or len(sample) < 64:
        return None
    control = sum(byte in CONTROL for byte in sample)
    return "a binary file" if control > MOST * len(sample) else None
