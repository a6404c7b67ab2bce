"""A ZeroMQ client that knows nothing of Sparkngin: subscribes to a prefix and writes down what comes.

    stranger.py ENDPOINT PREFIX [COUNT]      a line of hex topic, hex payload for each message; ends after COUNT

What comes with a topic `hello.PREFIX` is the line `hello`, and does not count: then it is connected.
"""

import sys

import zmq

endpoint, prefix = sys.argv[1:3]
count = int(sys.argv[3]) if len(sys.argv) > 3 else -1
socket = zmq.Context().socket(zmq.SUB)
socket.setsockopt(zmq.LINGER, 0)
socket.setsockopt(zmq.RECONNECT_IVL, 20)
socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())
socket.setsockopt(zmq.SUBSCRIBE, b"hello." + prefix.encode())
socket.connect(endpoint)
print("subscribed", flush=True)
while count:
    frames = socket.recv_multipart()
    if frames[0].startswith(b"hello."):
        print("hello", flush=True)
        continue
    print(*(frame.hex() for frame in frames), flush=True)
    count -= 1
