#!/usr/bin/env python3
"""Prints what comes in at a Sparkngin, live: one line per event, its topic and then the event as sparkngin_format has it.

    live_reader.py [ENDPOINT [TOPIC ...]]      tcp://127.0.0.1:7000 and every topic by default; TOPIC is a prefix

While nobody reads, events stay in the ring: who comes gets the oldest first, as far back as the ring reaches. Nothing
more is promised: what is on its way when a connection breaks is gone, and who does not keep up loses. Put %sg% among
sparkngin_fields to see gaps; who must not miss anything uses durable_subscriber.py. Needs pyzmq.
"""
import os
import signal
import sys

import zmq

from decode import inflated


def read(endpoint, topics):
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)  # notice a server that vanished, and connect again
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5000)
    for topic in topics:
        socket.subscribe(topic)
    socket.connect(endpoint)
    while True:
        topic, event = socket.recv_multipart()
        yield topic, inflated(event)  # sparkngin_gzip on


def main(endpoint="tcp://127.0.0.1:7000", *topics):
    out = sys.stdout.buffer
    for topic, event in read(endpoint, topics or [""]):
        out.write(topic + b" " + event + b"\n")
        out.flush()


if __name__ == "__main__":
    if sys.argv[1:2] in (["-h"], ["--help"]):
        sys.exit(__doc__.strip())
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    main(*map(os.fsdecode, sys.argv[1:]))
