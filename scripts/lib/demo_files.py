"""What the demo sends, and whether it arrived.

    demo_files.py make DIR              writes the files to send
    demo_files.py check DIR RECEIPT MESSAGE
                                        compares what was sent with what the receiver printed as JSON and saved

Python's standard library only. Every file is a real one of its kind: any viewer or player opens it.
"""

import csv
import hashlib
import json
import math
import pathlib
import random
import struct
import sys
import wave
import zlib

GREETING = "Hello from one process to another. Grüße, 你好, 👋"
CONFIG = {"room": "/chat/room1", "interval_ms": 250, "ratio": 0.1, "tags": ["a", "b"], "big": 2**63}
SCORES = [("id", "name", "score", "active")] + [
    (n, f"user-{n}" if n % 7 else "Zoë, the “7th”", n * 0.5, n % 3 == 0) for n in range(1, 501)
]
BIG = 80_000_000


def png(width, height, shift=0):
    """A colour gradient as PNG."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(
        b"\0" + bytes(v for x in range(width) for v in ((x + shift) % 256, (y * 2) % 256, (x * y) % 256))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wav(path):
    """A second of a 440 Hz tone."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(
            b"".join(struct.pack("<h", int(9000 * math.sin(math.tau * 440 * n / 16_000))) for n in range(16_000))
        )


def mp4(frames, width, height, rate):
    """Video of PNG frames (object type 0x6D of MPEG-4): what a standard library can encode and players decode."""

    def box(kind, *parts):
        data = b"".join(parts)
        return struct.pack(">I", 8 + len(data)) + kind + data

    def full(kind, flags, *parts):
        return box(kind, struct.pack(">I", flags), *parts)

    def descriptor(tag, data):
        return bytes([tag, 0x80, 0x80, 0x80, len(data)]) + data

    unity = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    count, largest = len(frames), max(map(len, frames))
    bits = 8 * sum(map(len, frames)) * rate // count
    decoder = descriptor(4, struct.pack(">BBBHII", 0x6D, 0x11, largest >> 16, largest & 0xFFFF, bits, bits))
    es = descriptor(3, struct.pack(">HB", 1, 0) + decoder + descriptor(6, b"\x02"))
    entry = box(
        b"mp4v",
        struct.pack(">6xH16xHHIIIH", 1, width, height, 0x480000, 0x480000, 0, 1),
        bytes(32),
        struct.pack(">Hh", 24, -1),
        full(b"esds", 0, es),
    )
    ftyp = box(b"ftyp", b"isom", struct.pack(">I", 512), b"isommp41")

    def moov(offset):
        table = box(
            b"stbl",
            full(b"stsd", 0, struct.pack(">I", 1), entry),
            full(b"stts", 0, struct.pack(">III", 1, count, 1)),
            full(b"stsc", 0, struct.pack(">IIII", 1, 1, count, 1)),
            full(b"stsz", 0, struct.pack(">II", 0, count), *(struct.pack(">I", len(frame)) for frame in frames)),
            full(b"stco", 0, struct.pack(">II", 1, offset)),
        )
        info = box(
            b"minf",
            full(b"vmhd", 1, bytes(8)),
            box(b"dinf", full(b"dref", 0, struct.pack(">I", 1), full(b"url ", 1))),
            table,
        )
        media = box(
            b"mdia",
            full(b"mdhd", 0, struct.pack(">IIIIHH", 0, 0, rate, count, 0x55C4, 0)),
            full(b"hdlr", 0, struct.pack(">I4s12x", 0, b"vide"), b"video\0"),
            info,
        )
        track = full(
            b"tkhd",
            3,
            struct.pack(">IIIII8xHHHH", 0, 0, 1, 0, count * 1000 // rate, 0, 0, 0, 0),
            unity,
            struct.pack(">II", width << 16, height << 16),
        )
        movie = full(
            b"mvhd",
            0,
            struct.pack(">IIIIIH10x", 0, 0, 1000, count * 1000 // rate, 0x10000, 0x100),
            unity,
            bytes(24),
            struct.pack(">I", 2),
        )
        return box(b"moov", movie, box(b"trak", track, media))

    # The offset has a fixed width, so the second round has the length of the first.
    offset = len(ftyp) + len(moov(0)) + 8
    return ftyp + moov(offset) + box(b"mdat", *frames)


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "greeting.txt").write_text(GREETING, encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(CONFIG, ensure_ascii=False), encoding="utf-8")
    with open(folder / "scores.csv", "w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerows([str(cell).lower() if isinstance(cell, bool) else cell for cell in row] for row in SCORES)
    (folder / "photo.png").write_bytes(png(320, 200))
    wav(folder / "tone.wav")
    (folder / "clip.mp4").write_bytes(mp4([png(160, 90, 6 * n) for n in range(24)], 160, 90, 12))
    source = random.Random(7)
    with open(folder / "archive.bin", "wb") as out:
        for _ in range(BIG // 1_000_000):
            out.write(source.randbytes(1_000_000))


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def fault(folder, name, sent, came):
    """What is wrong with a payload; nothing if it is intact."""
    if "error" in came:
        return came["error"]["message"]
    if came["type"] != sent["type"]:
        return f"sent as {sent['type']}, came as {came['type']}"
    if not sent["sha256"] == came["sha256"] == sha256(came["path"]):
        return "other bytes came than were sent"
    if sent["type"] == "table":
        names, *rows = SCORES
        if came["value"] != [dict(zip(names, row)) for row in rows]:
            return "the rows differ from those of the CSV file"
    elif sent["sha256"] != sha256(folder / name):
        return "other bytes were sent than are in the file"
    if sent["type"] == "text" and came["text"] != GREETING:
        return "the text differs"
    if sent["type"] == "dictionary" and came["value"] != CONFIG:
        return "the value differs"
    return None


def check(folder, receipt, message):
    receipt = json.loads(receipt.read_text(encoding="utf-8"))
    message = json.loads(message.read_text(encoding="utf-8"))
    files = {
        "greeting": "greeting.txt",
        "config": "config.json",
        "scores": "scores.csv",
        "photo": "photo.png",
        "tone": "tone.wav",
        "clip": "clip.mp4",
        "archive": "archive.bin",
    }
    came = {payload["dataname"]: payload for payload in message["payloads"]}
    intact = 0
    for sent in receipt["payloads"]:
        name = sent["dataname"]
        wrong = fault(folder, files[name], sent, came[name]) if name in came else "did not arrive"
        if wrong:
            print(f"  FAILED  {name}: {wrong}")
        else:
            intact += 1
            print(f"  intact  {name:<9} {sent['type']:<11} {sent['transport']:<7} {sent['size']:>11,} bytes  {sent['sha256']}")
    print(f"demo: {intact} of {len(files)} payloads intact")
    return intact == len(files) == len(message["payloads"])


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    paths = [pathlib.Path(path) for path in paths]
    try:
        sys.exit(0 if {"make": make, "check": check}[command](*paths) in (None, True) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
