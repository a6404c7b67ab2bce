/* The keys of a socket, from the files that `sparkngin keygen` makes: for a publisher with sparkngin_curve_key. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct keys {
    const char *server; /* file of the publisher's public key, or NULL */
    const char *own;    /* file of our own secret key, or NULL: then one is drawn for this run */
};

static void quit(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* Takes --server-key FILE and --curve-key FILE from the front of the arguments; how many words that were. */
static int keys_flags(struct keys *keys, int argc, char **argv) {
    int at = 1;
    for (; at + 1 < argc; at += 2) {
        if (!strcmp(argv[at], "--server-key")) keys->server = argv[at + 1];
        else if (!strcmp(argv[at], "--curve-key")) keys->own = argv[at + 1];
        else break;
    }
    if (keys->own && !keys->server) quit("--curve-key", "it needs --server-key");
    return at - 1;
}

static void key_line(const char *path, char key[41]) {
    FILE *file = fopen(path, "r");
    if (!file || fread(key, 1, 40, file) != 40) quit(path, "no key can be read from it");
    key[40] = 0;
    fclose(file);
}

/* Before it connects. */
static void keys_lock(void *socket, const struct keys *keys) {
    char server[41], own[41], secret[41];
    if (!keys->server) return;
    key_line(keys->server, server);
    if (!keys->own) {
        if (zmq_curve_keypair(own, secret)) quit("curve", zmq_strerror(zmq_errno()));
    } else {
        key_line(keys->own, secret);
        if (zmq_curve_public(own, secret)) quit(keys->own, "this is no secret key");
    }
    if (zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server, 40) || zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, own, 40)
        || zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, 40))
        quit("curve", zmq_strerror(zmq_errno()));
}
