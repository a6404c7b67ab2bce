"""Peers at the locked doors, with pyzmq as its own documentation says.

    doors.py live ENDPOINT SERVER_PUB KEY            prints the first live message that comes
    doors.py plain KIND ENDPOINT                     (SUB or DEALER) says all it can without a key; prints what it hears
    doors.py thief ENDPOINT SERVER_PUB KEY NAME SEQ  opens its own session or not, and acknowledges for NAME; prints the answers
    doors.py garbage PORT SEED                       bytes that are no handshake, cut ones, and whole ones with a wrong end
"""

import json
import random
import socket as plain_socket
import sys

import zmq

context = zmq.Context()


def locked(kind, endpoint, server_pub, key):
    it = context.socket(kind)
    it.setsockopt(zmq.LINGER, 200)
    it.setsockopt(zmq.RCVTIMEO, 20000)
    it.setsockopt(zmq.SNDTIMEO, 20000)
    it.curve_serverkey = open(server_pub, "rb").read().strip()
    secret = open(key, "rb").read().strip()
    it.curve_secretkey, it.curve_publickey = secret, zmq.curve_public(secret)
    if kind == zmq.SUB:
        it.setsockopt(zmq.SUBSCRIBE, b"")
    it.connect(endpoint)
    return it


def live(endpoint, server_pub, key):
    topic, payload = locked(zmq.SUB, endpoint, server_pub, key).recv_multipart()
    print("got", topic.decode(), payload.decode(), flush=True)


def plain(kind, endpoint):
    it = context.socket(getattr(zmq, kind))
    it.setsockopt(zmq.LINGER, 0)
    if kind == "SUB":
        it.setsockopt(zmq.SUBSCRIBE, b"")
    monitor = it.get_monitor_socket()
    it.connect(endpoint)
    hello = {"type": "HELLO", "v": 1, "name": "kafka", "window": 1 << 20, "have": []}
    if kind == "DEALER":
        it.send(json.dumps(hello).encode())
    # It is hung up on, or hangs up itself: nothing that was said was heard.
    while monitor.poll(20000):
        event, _ = monitor.recv_multipart()
        number = int.from_bytes(event[:2], sys.byteorder)
        if number == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            print("let in", flush=True)
            return
        if number in (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL):
            print("heard something" if it.poll(0) else "shut out", flush=True)
            return


def thief(endpoint, server_pub, key, name, seq):
    it = locked(zmq.DEALER, endpoint, server_pub, key)

    def ask(**message):
        it.send(json.dumps(message).encode())
        while True:
            answer = json.loads(it.recv_multipart()[0])
            if answer["type"] in ("WELCOME", "REFUSED"):
                print(answer["type"], answer.get("reason", ""), flush=True)
                return answer

    ask(type="HELLO", v=1, name=name, window=1 << 20, have=[])
    region, stream, session = seq.split("-")
    cursor = {"region": region, "stream": int(stream), "seq": 1}
    ask(type="ACK", session=session, cursors=[cursor])


def garbage(port, seed):
    random.seed(int(seed))
    curve = b"\xff" + b"\x00" * 7 + b"\x01\x7f\x03\x01CURVE" + b"\x00" * 15 + b"\x00" * 32
    null = b"\xff" + b"\x00" * 7 + b"\x01\x7f\x03\x01NULL" + b"\x00" * 16 + b"\x00" * 32
    ready = b"\x04\x29\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
    hello = b"\x04\xc8\x05HELLO\x01\x00" + b"\x00" * 72
    message = b"\x00" + bytes([9]) + b'{"type":1'
    for n in range(200):
        whole = [
            curve + hello + random.randbytes(120),  # a HELLO box that no key opens
            curve + b"\x04\x0a\x09INITIATE" + random.randbytes(300),
            null + ready + message,
            curve + ready + message,
            random.randbytes(400),
            curve + hello[: random.randrange(len(hello))],
        ][n % 6]
        with plain_socket.socket() as it:
            it.settimeout(0.05)
            it.connect(("127.0.0.1", int(port)))
            try:
                it.sendall(whole if n % 7 else whole[: random.randrange(len(whole))])
                it.recv(1000)
            except OSError:
                pass  # it waits for more, or hung up on us: well done
    print("said everything", flush=True)


{"live": live, "plain": plain, "thief": thief, "garbage": garbage}[sys.argv[1]](*sys.argv[2:])
