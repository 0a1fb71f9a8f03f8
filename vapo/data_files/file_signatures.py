"""What a file's first bytes say it is."""

from __future__ import annotations

import codecs

from vapo.data_files.errors import DataFileError

PARQUET_MAGIC, GZIP_MAGIC = b"PAR1", b"\x1f\x8b"
UNREAD_FORMS = (
    (b"PK\x03\x04", "a ZIP archive or an Excel file; save its table as CSV, JSON Lines or Parquet"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (b"\xfd7zXZ\x00", "compressed with xz; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file; save its table as CSV, JSON Lines or Parquet"),
    (PARQUET_MAGIC, "Parquet where only text is read; unpack it, or send it as a data set"),
    (b"ARROW1", "an Arrow file; save it as Parquet"),
    (b"\xff\xff\xff\xff", "an Arrow file of the library datasets; save it with to_parquet or to_json"),
    (b"SQLite format 3", "an SQLite database; export its table as CSV"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch it with git lfs pull"),
)
WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BYTES_LOOKED_AT = 200


def plain_text(content: bytes) -> bytes:
    """The bytes of a text in UTF-8 without a byte-order mark.

    Raises:
        DataFileError: it is UTF-16 or UTF-32, or no text at all; says what it is.
    """
    for magic, what in UNREAD_FORMS:
        if content.startswith(magic):
            raise DataFileError(f"is {what}")
    if content.startswith(GZIP_MAGIC):
        raise DataFileError("is compressed with gzip; unpack it first (gunzip)")
    if content.startswith(WIDE_MARKS) or b"\x00" in content[:BYTES_LOOKED_AT]:
        raise DataFileError("is UTF-16 or no text, not UTF-8; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)")
    return content.removeprefix(codecs.BOM_UTF8)


def utf8_fault(error: UnicodeDecodeError) -> str:
    """The byte that is not UTF-8, and where it stands."""
    return f"is not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start}"
