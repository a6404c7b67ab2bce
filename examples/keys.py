"""The keys of a socket, from the files that `sparkngin keygen` makes: for a publisher with sparkngin_curve_key."""
import zmq


def flags(parser):
    """Adds the two that `sparkngin subscribe` and `sparkngin tail` have, too."""
    parser.add_argument("--server-key", metavar="FILE", help="the publisher's public key")
    parser.add_argument("--curve-key", metavar="FILE", help="our own secret key; without it one is drawn for this run")


def lock(socket, args):
    """Before it connects."""
    if args.server_key is None:
        if args.curve_key is not None:
            raise SystemExit("--curve-key needs --server-key")
        return
    secret = line(args.curve_key) if args.curve_key else zmq.curve_keypair()[1]
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_public(secret), secret
    socket.curve_serverkey = line(args.server_key)


def line(path):
    with open(path, "rb") as file:
        return file.read().strip()
