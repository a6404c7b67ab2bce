#!/usr/bin/env python3
"""Takes a Sparkngin's feed and prints each event as a line of JSON: acknowledged, and so gone from the ring, only after it
was written and flushed. What was printed and not yet acknowledged when this is killed is printed again: see "sg".

    durable_subscriber.py [--server-key FILE] [--curve-key FILE] ENDPOINT NAME

ENDPOINT is ipc:///var/lib/nginx/sparkngin/feed.sock or tcp://ADDRESS:PORT, NAME stands in nginx.conf as
`sparkngin_subscriber NAME;`. Where that has key=FILE, --curve-key is the other half of this key, and --server-key the public
half of sparkngin_curve_key.

docs/protocol.md, "Feed", describes what is said here; only the checksums are not looked at. Needs pyzmq.
"""
import argparse
import json
import struct
import sys
from time import monotonic as now

import zmq

import keys
from decode import binary


def take(message, body, counts):
    """Does what a BATCH, LOST or UNCERTAIN asks for; the cursor that says so."""
    region, stream, kind = message["region"], message["stream"], message["type"].lower()
    count = counts.setdefault((region, stream), {"lost": 0, "dead": 0, "uncertain": 0})
    at = 0
    while at < len(body):
        length, _crc, seq, _received = struct.unpack_from("<IIQQ", body, at)
        print(json.dumps({**binary(body[at + 24:at + length]), "sg": f"{region}-{stream}-{seq}"}))
        at += (length + 7) // 8 * 8
    sys.stdout.flush()
    if kind != "batch":
        print(f"{kind}: {json.dumps(message)}", file=sys.stderr)
        seq = message["to"] or message["from"] - 1
        count[kind] += seq - message["from"] + 1
    return {"region": region, "stream": stream, "seq": seq, **count, "open": message.get("to", 0) is None}


def follow(socket, name):
    """One connection, from HELLO until the publisher is silent for 3 s, or has forgotten the session."""
    session, counts, heard = None, {}, now()
    socket.send_json({"type": "HELLO", "v": 1, "name": name, "window": 1 << 20})
    while now() - heard < 3:
        if not socket.poll(200):
            continue
        message, *body = socket.recv_multipart()
        message = json.loads(message)
        kind, of = message["type"], message.get("session")
        if kind == "REFUSED" and of in (None, session):
            if message["reason"] == "session":
                return
            sys.exit(f"refused: {json.dumps(message)}")
        if kind == "WELCOME":
            session, heard = of, now()
        elif of == session:  # else of one that is over
            heard = now()
            if kind != "BEAT":  # which is answered with itself
                message = {"type": "ACK", "session": session, "cursors": [take(message, b"".join(body), counts)]}
            socket.send_json(message)
    print("nothing was heard for 3 s, connecting again", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__.strip())
    keys.flags(parser)
    parser.add_argument("endpoint")
    parser.add_argument("name")
    args = parser.parse_args()
    while True:
        with zmq.Context.instance().socket(zmq.DEALER) as dealer:
            dealer.setsockopt(zmq.LINGER, 0)
            keys.lock(dealer, args)
            dealer.connect(args.endpoint)
            follow(dealer, args.name)
