"""17.5 the frame of a .glb file."""

import json  # noqa: F401  the edits use it
import struct

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole


def read(file):
    """What a program finds in it: numbers, a tensor for each part. What cannot be read is None there."""
    if not isinstance(file, bytes | bytearray):
        return file
    file, parts = bytes(file), {}
    parts["the length of the file"] = len(file)
    parts["the header"] = list(file[:12])
    parts["the head of the first chunk"] = list(file[12:20])
    length = struct.unpack("<I", file[12:16])[0] if len(file) >= 20 else 0
    text, rest = file[20 : 20 + length], file[20 + length :]
    parts["the text"] = list(text)
    parts["the head of the second chunk"] = list(rest[:8])
    parts["the numbers"] = list(rest[8:])
    return [torch.tensor(value) for value in parts.values()]


def cases(g):
    def one(text, n):
        return Case("glb", ({"asset": text}, bytes(torch.randint(1, 256, (n,), generator=g).tolist())), read=read)

    long = "x" * whole(g, 300, 400)
    return [one("2.0", 36), one("2.01", 37), one("a", 258), one("ab", 259), one("", 0), one(long, whole(g, 400, 900))]


HINTS = """
json.dumps(document).encode() makes bytes of the document. -n % 4 is how many bytes n lacks to a multiple of four.

Fill up first, then count: a chunk is struct.pack("<I4s", len(data), name) + data. The second name is b"BIN\\0".

The header comes last in writing and first in the file: struct.pack("<4sII", b"glTF", 2, 12 + len(both chunks)).
"""

MISTAKES = r"""
text += b" " * (-len(text) % 4) -> text += b"\0" * (-len(text) % 4)
    The text is filled up with zeros: JSON chunks are filled up with spaces.
text += b" " * (-len(text) % 4) -> text += b""
    The text is not filled up to a multiple of four bytes.
binary = binary + b"\0" * (-len(binary) % 4) -> binary = binary + b" " * (-len(binary) % 4)
    The numbers are filled up with spaces: they are filled up with zeros.
binary = binary + b"\0" * (-len(binary) % 4) -> binary = binary
    The numbers are not filled up to a multiple of four bytes.
text += b" " * (-len(text) % 4) -> text += b" " * (4 - len(text) % 4)
    A text that has a multiple of four bytes gets four spaces more: it should get none.
2, 12 + len(chunks)) -> 2, len(chunks))
    The length in the header leaves out the header's own twelve bytes.
2, 12 + len(chunks)) -> 1, 12 + len(chunks))
    The version is 1; it should be 2.
struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) -> struct.pack(">4sII", b"glTF", 2, 12 + len(chunks))
    The header's numbers have their large byte first: all numbers are little-endian.
struct.pack("<I4s", len(text), b"JSON") -> struct.pack("<I4s", 8 + len(text), b"JSON")
    The length of the first chunk counts its own head: the length of the data alone is asked for.
struct.pack("<I4s", len(binary), b"BIN\0") -> struct.pack("<I4s", 8 + len(binary), b"BIN\0")
    The length of the second chunk counts its own head: the length of the data alone is asked for.
b"BIN\0") -> b"BIN ")
    The second name ends in a space: it ends in a zero byte.
struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary -> struct.pack("<I4s", len(binary), b"BIN\0") + binary + struct.pack("<I4s", len(text), b"JSON") + text
    The numbers come first: the text is the first chunk.
"""

RIGHT = r"""
return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks -> return b"glTF" + (2).to_bytes(4, "little") + (12 + len(chunks)).to_bytes(4, "little") + chunks
text = json.dumps(document).encode() -> text = bytes(json.dumps(document), "utf8")
"""

WRONG = r"""
b"glTF" -> b"GLTF"
return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks -> return chunks
b"JSON") + text -> b"JSON")
len(binary), b"BIN\0") -> len(text), b"BIN\0")
"""

EQUIVALENT = ""
