"""Streams whose messages begin and end anywhere in HTTP/2 frames: none loses a byte on its way through the edge."""

from __future__ import annotations

import asyncio
import random
import struct
from asyncio import StreamReader, StreamWriter
from itertools import pairwise
from pathlib import Path

from inferloom.mesh.oip import MODEL_STREAM_INFER
from tests.support.front import infer, running_front

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS, ACK = 1, 4, 1
ANSWER = b"\0\0\0\0\x08iris/one"


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def header(name: str, value: str) -> bytes:
    """In HPACK, literal and not indexed."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


async def answers(reader: StreamReader, writer: StreamWriter, stream: int, pieces: list[bytes]) -> bytes:
    """What comes back where each piece is a frame."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": MODEL_STREAM_INFER.path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    writer.write(frame(HEADERS, END_HEADERS, stream, b"".join(header(*field) for field in fields.items())))
    for piece in pieces:
        writer.write(frame(DATA, 0, stream, piece))
    writer.write(frame(DATA, END_STREAM, stream))
    found = b""
    while True:
        head = await reader.readexactly(9)
        body = await reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags, of = struct.unpack(">BBI", head[3:])
        if kind == SETTINGS and not flags & ACK:
            writer.write(frame(SETTINGS, ACK, 0))
        elif of == stream:
            assert kind in (DATA, HEADERS, 8), (kind, body)
            found += body if kind == DATA else b""
            if flags & END_STREAM:
                return found


async def test_no_byte_is_lost_wherever_frames_are_cut(tmp_path: Path) -> None:
    messages = [infer(id=text) for text in ("a", "", "the third one")]
    body = b"".join(b"\0" + struct.pack(">I", len(message)) + message for message in messages)
    draw = random.Random(5)
    cuts = [[place] for place in range(1, len(body))]
    cuts += [sorted(draw.sample(range(1, len(body)), count)) for count in (2, 3, 5, 9, 20) for _ in range(20)]
    cuts += [[], list(range(1, len(body)))]
    async with running_front(tmp_path, {"iris": {"one": ["1"]}}) as front:
        host, _, port = front.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(PREFACE + frame(SETTINGS, 0, 0))
        for number, places in enumerate(cuts):
            pieces = [body[start:end] for start, end in pairwise([0, *places, len(body)])]
            found = await asyncio.wait_for(answers(reader, writer, 2 * number + 1, pieces), 20)
            assert found == 3 * ANSWER, (places, found)
        writer.close()
        assert {asked.who for asked in front.asked} == {"iris/one"}
        assert {asked.message.id for asked in front.asked} == {"a"}
        assert front.envoy.log.read_text().count("lua") == 0
