"""A connection's worst friend: between a client and a server it cuts, resets, falls silent, delays and throttles.

    proxy.py LISTEN TARGET        each `host:port` or `unix:path`

It takes one command a line on standard input, and says `done: <command>` when it holds:

    pass             forwards what comes, at once (as at the start)
    cut              closes every connection, as an end that has ended; new ones are forwarded
    reset            the same with RST (which a unix socket does not know)
    hang             every connection, new ones too, is half open: what is sent on it goes nowhere, and no end reaches
                     the other side. After `pass` new ones are forwarded, these stay as they are
    refuse           cuts, and listens no more until `pass`
    delay S          each chunk comes up to S seconds later, in order
    throttle N       N bytes a second each way
"""

import collections
import os
import random
import select
import socket
import struct
import sys
import time

CHUNK, MOST = 65536, 1 << 20


def parts(address):
    kind, path = address.split(":", 1)
    return (socket.AF_UNIX, path) if kind == "unix" else (socket.AF_INET, (kind, int(path)))


class Way:
    """One direction of a connection: what was read from `source` and is due at `target`."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.queue, self.held, self.last, self.ended = collections.deque(), 0, 0.0, False

    def read(self, proxy, silent):
        most = max(1, min(CHUNK, int(proxy.rate / 20))) if proxy.rate else CHUNK
        try:
            data = self.source.recv(most)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.ended = not data
        if silent:
            return
        wait = random.random() * proxy.delay + (len(data) / proxy.rate if proxy.rate else 0)
        self.last = max(time.monotonic() + wait, self.last + (len(data) / proxy.rate if proxy.rate else 0))
        self.queue.append([self.last, data])
        self.held += len(data)

    def write(self):
        """What is due; False when the target is gone, or told of the end."""
        while self.queue and self.queue[0][0] <= time.monotonic():
            data = self.queue[0][1]
            if not data:
                return False
            try:
                sent = self.target.send(data)
            except BlockingIOError:
                return True
            except OSError:
                return False
            self.held -= sent
            if sent < len(data):
                self.queue[0][1] = data[sent:]
                return True
            self.queue.popleft()
        return True

    def due(self):
        return self.queue[0][0] if self.queue else None


class Proxy:
    def __init__(self, listen, target):
        self.address, self.target = parts(listen), parts(target)
        self.pairs, self.delay, self.rate, self.hanging, self.listener = [], 0.0, 0, False, None
        self.listen()

    def listen(self):
        if self.listener:
            return
        family, where = self.address
        if family == socket.AF_UNIX and os.path.exists(where):
            os.unlink(where)
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(where)
        self.listener.listen(64)
        self.listener.setblocking(False)

    def accept(self):
        client, _ = self.listener.accept()
        server = socket.socket(self.target[0])
        try:
            server.connect(self.target[1])
        except OSError:
            return client.close()
        for end in client, server:
            end.setblocking(False)
            if end.family == socket.AF_INET:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pairs.append({"ways": [Way(client, server), Way(server, client)], "silent": self.hanging})

    def close(self, pair, reset=False):
        for way in pair["ways"]:
            if reset and way.source.family == socket.AF_INET:
                way.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            way.source.close()
        self.pairs.remove(pair)

    def command(self, line):
        word, *value = line.split()
        if word == "pass":
            self.delay, self.rate, self.hanging = 0.0, 0, False
            self.listen()
        elif word in ("cut", "reset", "refuse"):
            for pair in list(self.pairs):
                self.close(pair, reset=word == "reset")
            if word == "refuse":
                self.listener.close()
                self.listener = None
        elif word == "hang":
            self.hanging = True
            for pair in self.pairs:
                pair["silent"] = True
        elif word == "delay":
            self.delay = float(value[0])
        elif word == "throttle":
            self.rate = int(value[0])
        else:
            sys.exit(f"no such command: {line}")
        print(f"done: {line}", flush=True)

    def turn(self):
        """Waits until something can be done, and does it; False at the end of the input."""
        readers, writers, due = [sys.stdin], {}, []
        if self.listener:
            readers.append(self.listener)
        sources = {}
        for pair in self.pairs:
            for way in pair["ways"]:
                if not way.ended and way.held < MOST:
                    sources[way.source] = way, pair
                if way.due() is not None and not pair["silent"]:
                    if way.due() <= time.monotonic():
                        writers[way.target] = way, pair
                    else:
                        due.append(way.due() - time.monotonic())
        wait = max(0, min(due, default=60))
        readable, writable, _ = select.select(readers + list(sources), list(writers), [], wait)
        for end in writable:
            way, pair = writers[end]
            if pair in self.pairs and not way.write():
                self.close(pair)
        for end in readable:
            if end is sys.stdin:
                line = sys.stdin.readline()
                if not line:
                    return False
                self.command(line.strip())
            elif end is self.listener:
                self.accept()
            elif end in sources and sources[end][1] in self.pairs:
                way, pair = sources[end]
                way.read(self, pair["silent"])
                if pair["silent"] and all(w.ended for w in pair["ways"]):
                    self.close(pair)
        return True


proxy = Proxy(sys.argv[1], sys.argv[2])
print("ready", flush=True)
while proxy.turn():
    pass
