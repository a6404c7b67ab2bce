#!/usr/bin/env python3
"""Takes a Sparkngin's feed and prints each event as a line of JSON: acknowledged, and so gone from the ring, only after it
was written and flushed. What was printed and not yet acknowledged when this is killed is printed again: see "sg".

    durable_subscriber.py ENDPOINT NAME     ipc:///var/lib/nginx/sparkngin/feed.sock, and a name that
                                            the line `sparkngin_subscriber NAME;` has in nginx.conf

docs/protocol.md, "Feed", describes what is said here; only the checksums are not looked at. Needs pyzmq.
"""
import json
import struct
import sys
import time

import zmq

from decode import binary

WINDOW = 1 << 20  # bytes that may be on their way
SILENCE, BEAT = 3.0, 0.2  # seconds


def records(message, body):
    at, seq = 0, message["first"]
    while at < len(body):
        length, _crc, number, _received = struct.unpack_from("<IIQQ", body, at)
        assert number == seq and length >= 24, "not the record that comes next"
        yield f"{message['region']}-{message['stream']}-{seq}", body[at + 24:at + length]
        at, seq = at + (length + 7) // 8 * 8, seq + 1


class Session:
    """One connection, from HELLO until the publisher is silent or sends this program away."""

    def __init__(self, endpoint, name):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(endpoint)
        self.name, self.said = name, 0.0
        self.hello()

    def say(self, **message):
        self.socket.send(json.dumps(message).encode())

    def hello(self):
        self.id, self.counts, self.heard = None, {}, time.monotonic()
        self.say(type="HELLO", v=1, name=self.name, window=WINDOW)

    def run(self):
        while time.monotonic() - self.heard < SILENCE:
            if self.id and time.monotonic() - self.said >= BEAT:
                self.say(type="BEAT", session=self.id)
                self.said = time.monotonic()
            if self.socket.poll(int(BEAT * 1000)):
                header, *body = self.socket.recv_multipart()
                self.take(json.loads(header), *body)
        self.socket.close()

    def take(self, message, body=b""):
        kind, session = message["type"], message.get("session")
        if kind == "WELCOME":
            self.id, self.counts = session, {}
        elif kind == "REFUSED" and session in (None, self.id):
            self.refused(message)
        elif session != self.id:
            return  # of a session that is over
        elif kind == "BATCH":
            for sg, event in records(message, body):
                print(json.dumps({**binary(event), "sg": sg}))
            sys.stdout.flush()
            self.done(message, message["first"] + message["count"] - 1)
        elif kind in ("LOST", "UNCERTAIN"):
            print(f"{kind}: {json.dumps(message)}", file=sys.stderr)
            end = message["to"] or message["from"] - 1
            self.done(message, end, kind.lower(), end - message["from"] + 1, message["to"] is None)
        self.heard = time.monotonic()

    def done(self, message, seq, hole=None, count=0, open=False):
        region, stream = message["region"], message["stream"]
        counts = self.counts.setdefault((region, stream), {"lost": 0, "dead": 0, "uncertain": 0})
        if hole:
            counts[hole] += count
        cursor = {"region": region, "stream": stream, "seq": seq, **counts, "open": open}
        self.say(type="ACK", session=self.id, cursors=[cursor])

    def refused(self, message):
        reason = message["reason"]
        if reason in ("version", "fenced"):
            print(f"refused: {json.dumps(message)}", file=sys.stderr)
            sys.exit(2 if reason == "version" else 3)
        if reason != "session":
            print(f"refused for its {reason}, asking again", file=sys.stderr)
            self.socket.poll(1000)
        self.hello()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    while True:
        Session(*sys.argv[1:]).run()
