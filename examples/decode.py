#!/usr/bin/env python3
"""Reads one event in any of Sparkngin's formats and prints it as one line of JSON.

    decode.py binary           < message
    decode.py json             < message
    decode.py envelope         < message
    decode.py plain FIELD...   < message     the fields in the order of sparkngin_fields; DELIMITER=, in the environment

A message that is gzip is inflated first. Only Python's own library is used; docs/protocol.md, "Formats", describes what
is read here. The functions may be imported: each takes bytes and gives a dictionary, name -> value, where times are
numbers, `data` is {"type": "json" | "text" | "bytes", "data": ...} and everything else is a string.
"""

import base64
import gzip
import io
import json
import os
import re
import sys

NAMES = {
    1: "version", 2: "ip", 3: "time_stamp", 4: "submitted_timestamp", 5: "level", 6: "type", 7: "topic", 8: "env",
    9: "key", 10: "id", 11: "user-agent", 12: "referrer", 13: "cookie", 14: "data", 15: "sg",
}
TIMES = ("time_stamp", "submitted_timestamp")
LIMIT = 64 << 20  # the most that is inflated


def text(value):
    return value.decode("utf-8", errors="replace")


def payload(kind, value):
    if kind == 1:
        return {"type": "json", "data": json.loads(value)}
    if kind == 2:
        return {"type": "text", "data": text(value)}
    return {"type": "bytes", "data": base64.b64encode(value).decode()}


def pair(both):
    """A name with its length before it, and what follows."""
    length, shift, at = 0, 0, 0
    while True:
        length |= (both[at] & 0x7F) << shift
        shift += 7
        at += 1
        if both[at - 1] < 0x80:
            return both[at:at + length], both[at + length:]


def binary(message):
    """Version 1, then per field: id, length, bytes. Id 0 has a name before the value; 17 has both in it, the value JSON.

    Others are passed over: 16 is a Kafka header and no field, and those above are of later versions.
    """
    if message[:1] != b"\x01":
        raise ValueError("not version 1 of the binary format")
    at, fields = 1, {}

    def take():
        nonlocal at
        length, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if at + length > len(message):
            raise ValueError("a field is cut off")
        at += length
        return message[at - length:at]

    while at < len(message):
        number = message[at]
        at += 1
        name = text(take()) if number == 0 else NAMES.get(number)
        value = take()
        if number == 17:
            name, value = pair(value)
            fields[text(name)] = json.loads(value)
            continue
        if name is None:
            continue
        if name in TIMES:
            fields[name] = int.from_bytes(value, "little")
        elif name == "data":
            fields[name] = payload(value[0], value[1:])
        else:
            fields[name] = text(value)
    return fields


def plain(message, names, delimiter=b" "):
    """The values of the named fields, joined: `-` is an absent one, \\xHH a byte. It does not say what `data` is."""
    def unescape(value):
        return text(re.sub(rb"\\x([0-9A-F]{2})", lambda hex: bytes([int(hex[1], 16)]), value))

    values = message.split(delimiter)
    if len(values) != len(names):
        raise ValueError(f"{len(values)} values for {len(names)} fields")
    fields = {name: unescape(value) for name, value in zip(names, values) if value != b"-"}
    return {name: int(value) if name in TIMES else value for name, value in fields.items()}


def from_json(message):
    """One object. A payload of text is a string, bytes are `data_base64`, anything else came as JSON."""
    fields = json.loads(message)
    if "data_base64" in fields:
        fields["data"] = {"type": "bytes", "data": fields.pop("data_base64")}
    elif "data" in fields:
        kind = "text" if isinstance(fields["data"], str) else "json"
        fields["data"] = {"type": kind, "data": fields["data"]}
    return fields


def envelope(message):
    """Header, custom fields and data, brought together under the names that the other formats use."""
    whole = json.loads(message)
    fields = {**whole["header"], **whole.get("fields", {})}
    if "timestamp" in fields:
        fields["time_stamp"] = fields.pop("timestamp")
    if "data" in whole:
        fields["data"] = whole["data"]
    return fields


def inflated(message):
    if message[:2] != b"\x1f\x8b":
        return message
    with gzip.open(io.BytesIO(message)) as inside:
        whole = inside.read(LIMIT + 1)
    if len(whole) > LIMIT:
        raise ValueError(f"the message holds more than {LIMIT} bytes")
    return whole


def main(form, *names):
    message = inflated(sys.stdin.buffer.read())
    if form == "plain":
        fields = plain(message, names, os.fsencode(os.environ.get("DELIMITER", " ")))
    else:
        fields = {"binary": binary, "json": from_json, "envelope": envelope}[form](message)
    print(json.dumps(fields))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("binary", "json", "envelope", "plain"):
        sys.exit(__doc__.strip())
    main(*sys.argv[1:])
