"""17.5 the frame of a .glb file."""

import json
import struct  # noqa: F401  the edits use it

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole


def number(four):
    return int.from_bytes(four, "little")


def read(file):
    """What a program finds in it: the same for every way to write the document as JSON."""
    if not isinstance(file, bytes | bytearray):
        raise TypeError("bytes are asked for")
    file = bytes(file)
    second = file.find(b"BIN", 20)  # no document of the cases holds these letters
    text, data = (file[20 : second - 4], file[second + 4 :]) if second >= 0 else (file[20:], b"")
    own = text.rstrip(b" \0")
    filling = text[len(own) :]
    name = file[16:20]
    return {
        "the letters at the beginning": file[:4],
        "the version": number(file[4:8]),
        "the length in the header, less that of the file": number(file[8:12]) - len(file),
        "the length of the text's chunk, less that of its data": number(file[12:16]) - len(text),
        "the name of the text's chunk": name,
        "the document": json.loads(own) if name == b"JSON" else own,
        "the bytes of the text beyond a multiple of four": len(text) % 4,
        "the bytes that fill the text up, beyond need": len(filling) - -len(own) % 4,
        "what fills the text up, but for spaces": filling.replace(b" ", b""),
        "the length of the numbers' chunk, less that of its data": number(file[second - 4 : second]) - len(data),
        "the name of the numbers' chunk": file[second : second + 4],
        "the numbers": torch.tensor(list(data)),
    }


def cases(g):
    def one(document, n):
        return Case("glb", (document, bytes(torch.randint(1, 256, (n,), generator=g).tolist())), read=read)

    long = "x" * whole(g, 300, 400)
    texts = [("2.0", 36), ("2.01", 37), ("a", 258), ("ab", 259), ("", 0), (long, whole(g, 400, 900)), ("Äpfel", 12)]
    return [*(one({"asset": text}, n) for text, n in texts), one({"nodes": [{"mesh": 0, "size": 1.5}], "ö": True}, 20)]


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
struct.pack("<I4s", len(text), b"JSON") -> struct.pack("<I4s", 8 + len(text), b"JSON") && struct.pack("<I4s", len(binary), b"BIN\0") -> struct.pack("<I4s", 8 + len(binary), b"BIN\0")
    The lengths of the chunks count their own heads: the length of the data alone is asked for.
text += b" " * (-len(text) % 4) -> n, m = len(text), len(binary)\n    text += b" " * (-len(text) % 4) && struct.pack("<I4s", len(text), b"JSON") -> struct.pack("<I4s", n, b"JSON") && struct.pack("<I4s", len(binary), b"BIN\0") -> struct.pack("<I4s", m, b"BIN\0")
    The lengths of the chunks do not count what they are filled up with: they should.
text += b" " * (-len(text) % 4) -> text += b" " * (4 - len(text) % 4) && binary = binary + b"\0" * (-len(binary) % 4) -> binary = binary + b"\0" * (4 - len(binary) % 4)
    Text and numbers that have a multiple of four bytes get four more: they should get none.
binary = binary + b"\0" * (-len(binary) % 4) -> binary = binary + b"\0" * (4 - len(binary) % 4)
    Numbers that have a multiple of four bytes get four zeros more: they should get none.
2, 12 + len(chunks)) -> 2, len(chunks) - 4)
    The length in the header leaves out the heads of both chunks, eight bytes each.
struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) -> struct.pack(">4sII", b"glTF", 2, 12 + len(chunks)) && struct.pack("<I4s", len(text), b"JSON") -> struct.pack(">I4s", len(text), b"JSON") && struct.pack("<I4s", len(binary), b"BIN\0") -> struct.pack(">I4s", len(binary), b"BIN\0")
    The numbers have their large byte first: all are little-endian.
struct.pack("<I4s", len(text), b"JSON") -> struct.pack("<4sI", b"JSON", len(text)) && struct.pack("<I4s", len(binary), b"BIN\0") -> struct.pack("<4sI", b"BIN\0", len(binary))
    The chunks begin with their names: the length comes first.
text = json.dumps(document).encode() -> text = str(document).encode()
    str does not write JSON, which has double quotes: json.dumps does.
text = json.dumps(document).encode() -> text = json.dumps(document, ensure_ascii=False)\n    text = (text + " " * (-len(text) % 4)).encode() && text += b" " * (-len(text) % 4) -> pass
    The text is filled up by its letters, of which some are two bytes: encode first, then count.
text = json.dumps(document).encode() -> text = json.dumps(document, ensure_ascii=False) && text += b" " * (-len(text) % 4) -> text += " " * (-len(text) % 4) && b"JSON") + text -> b"JSON") + text.encode() && 2, 12 + len(chunks)) -> 2, 28 + len(text) + len(binary))
    The text is filled up and counted by its letters, of which some are two bytes: encode first, then count.
"""

RIGHT = r"""
text = json.dumps(document).encode() -> text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
text = json.dumps(document).encode() -> text = json.dumps(document, indent=2).encode()
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
