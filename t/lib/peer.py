"""A peer that does what no subscriber should, on the feed and on the live port.

    peer.py garbage FEED LIVE SEED       frames that are no messages, truncated ones, and bytes that are not even ZeroMQ
    peer.py stale FEED NAME              opens a session, and goes on with it on another connection; prints the answers
    peer.py beyond FEED NAME             opens a session and acknowledges what it never got; prints what it is answered
"""

import json
import random
import socket as plain
import sys

import zmq

context = zmq.Context()


def dealer(endpoint):
    it = context.socket(zmq.DEALER)
    it.setsockopt(zmq.LINGER, 200)
    it.setsockopt(zmq.RCVTIMEO, 5000)
    it.connect(endpoint)
    return it


def say(it, message, *more):
    it.send_multipart([json.dumps(message).encode(), *more])


def messages():
    """Truncated, swollen and senseless ones."""
    hello = {"type": "HELLO", "v": 1, "name": "kafka", "window": 1 << 20, "have": []}
    ack = {"type": "ACK", "session": "0" * 16, "cursors": [{"region": "f" * 32, "stream": 0, "seq": 1}]}
    for whole in hello, ack, {"type": "BEAT", "session": "1" * 16}:
        text = json.dumps(whole).encode()
        for cut in range(0, len(text), 7):
            yield [text[:cut]]
        yield [text, b"a second frame"]
        yield [b"", text]
        yield [text * 50]
    yield []
    yield [b"\x00" * 100_000]
    yield [b"[" * 20_000]
    yield [json.dumps({**hello, "v": 99}).encode()]
    yield [json.dumps({**hello, "name": "nobody"}).encode()]
    yield [json.dumps({**hello, "name": "x" * 5000}).encode()]
    yield [json.dumps({**hello, "window": -1}).encode()]
    yield [json.dumps({**hello, "window": 1e300}).encode()]
    yield [json.dumps({**ack, "cursors": [ack["cursors"][0]] * 2000}).encode()]
    for _ in range(200):
        yield [random.randbytes(random.randrange(300)) for _ in range(random.randrange(1, 6))]


def garbage(feed, live, seed):
    random.seed(int(seed))
    for frames in messages():
        it = dealer(feed)
        if frames:
            it.send_multipart(frames)
        it.close()
    on_live = context.socket(zmq.XSUB)
    on_live.connect(live)
    for _ in range(200):
        on_live.send(random.randbytes(random.randrange(900)))
    on_live.send(b"\x01" + b"x" * 100_000)
    on_live.close(linger=200)
    path, port = feed.removeprefix("ipc://"), int(live.rsplit(":", 1)[1])
    greeting = b"\xff" + b"\x00" * 8 + b"\x7f\x03\x00NULL" + b"\x00" * 48
    for n in range(100):
        for family, address in (plain.AF_UNIX, path), (plain.AF_INET, ("127.0.0.1", port)):
            with plain.socket(family) as it:
                it.connect(address)
                whole = greeting + random.randbytes(200)
                try:
                    it.sendall(random.randbytes(300) if n % 2 else whole[: n * 2])
                except OSError:
                    pass  # it hung up on us: well done
    print("said everything", flush=True)


def beyond(feed, name):
    it = dealer(feed)
    say(it, {"type": "HELLO", "v": 1, "name": name, "window": 1 << 20, "have": []})
    session, got = None, None
    while got is None:
        frames = it.recv_multipart()
        message = json.loads(frames[0])
        print(message["type"], flush=True)
        if message["type"] == "WELCOME":
            session = message["session"]
        if message["type"] == "BATCH":
            got = message
    cursor = {"region": got["region"], "stream": got["stream"], "seq": got["first"] + got["count"] - 1 + 1_000_000}
    say(it, {"type": "ACK", "session": session, "cursors": [cursor]})
    while True:
        message = json.loads(it.recv_multipart()[0])
        if message["type"] == "REFUSED":
            print("REFUSED", message["reason"], flush=True)
            return


def stale(feed, name):
    it = dealer(feed)
    say(it, {"type": "HELLO", "v": 1, "name": name, "window": 1 << 20, "have": []})
    session, got = None, None
    while got is None:
        message = json.loads(it.recv_multipart()[0])
        if message["type"] == "WELCOME":
            session = message["session"]
        if message["type"] == "BATCH":
            got = message
    other = dealer(feed)
    cursor = {"region": got["region"], "stream": got["stream"], "seq": got["first"]}
    for message in {"type": "BEAT", "session": session}, {"type": "ACK", "session": session, "cursors": [cursor]}:
        say(other, message)
        answer = json.loads(other.recv_multipart()[0])
        print(answer["type"], answer.get("reason"), flush=True)
    it.close(linger=0)


{"garbage": garbage, "stale": stale, "beyond": beyond}[sys.argv[1]](*sys.argv[2:])
