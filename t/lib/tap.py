#!/usr/bin/python3
"""Writes every live message to standard output, one line each: topic, a tab, the payload.

    tap.py ENDPOINT [TOPIC_PREFIX]
"""
import sys

import zmq

socket = zmq.Context.instance().socket(zmq.SUB)
socket.setsockopt(zmq.LINGER, 0)
socket.setsockopt(zmq.RECONNECT_IVL, 20)
socket.setsockopt(zmq.SUBSCRIBE, sys.argv[2].encode() if len(sys.argv) > 2 else b"")
socket.connect(sys.argv[1])
while True:
    topic, payload = socket.recv_multipart()
    sys.stdout.buffer.write(topic + b"\t" + payload + b"\n")
    sys.stdout.buffer.flush()
