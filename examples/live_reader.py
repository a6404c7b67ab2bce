#!/usr/bin/env python3
"""Prints what comes in at a Sparkngin, live: one line per event, its topic and then the event as sparkngin_format has it.

    live_reader.py [--server-key FILE] [--curve-key FILE] [ENDPOINT [TOPIC ...]]

ENDPOINT is tcp://127.0.0.1:7000 by default, TOPIC a prefix, every one by default. Where nginx.conf has sparkngin_curve_key,
--server-key is its public half; with readers= in it --curve-key is a key whose public half is listed.

While nobody reads, events stay in the ring: who comes gets the oldest first, as far back as the ring reaches. Nothing
more is promised: what is on its way when a connection breaks is gone, and who does not keep up loses. Put %sg% among
sparkngin_fields to see gaps; who must not miss anything uses durable_subscriber.py. Needs pyzmq.
"""
import argparse
import signal
import sys

import zmq

import keys
from decode import inflated


def read(args):
    socket = zmq.Context.instance().socket(zmq.SUB)
    keys.lock(socket, args)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)  # notice a server that vanished, and connect again
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5000)
    for topic in args.topics or [""]:
        socket.subscribe(topic)
    socket.connect(args.endpoint)
    while True:
        topic, event = socket.recv_multipart()
        yield topic, inflated(event)  # sparkngin_gzip on


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__.strip())
    keys.flags(parser)
    parser.add_argument("endpoint", nargs="?", default="tcp://127.0.0.1:7000")
    parser.add_argument("topics", nargs="*")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    out = sys.stdout.buffer
    for topic, event in read(args):
        out.write(topic + b" " + event + b"\n")
        out.flush()
