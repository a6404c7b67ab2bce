/* Prints what comes in at a Sparkngin, live: one line per event, its topic and then the event as sparkngin_format has it.
 *
 *     cc -O2 -o live_reader live_reader.c -lzmq
 *     live_reader [--server-key FILE] [--curve-key FILE] [ENDPOINT [TOPIC ...]]
 *
 * ENDPOINT is tcp://127.0.0.1:7000 by default, TOPIC a prefix, every one by default. Where nginx.conf has sparkngin_curve_key,
 * --server-key is its public half; with readers= in it --curve-key is a key whose public half is listed.
 *
 * While nobody reads, events stay in the ring: who comes gets the oldest first, as far back as the ring reaches. Nothing
 * more is promised: what is on its way when a connection breaks is gone, and who does not keep up loses. Put %sg% among
 * sparkngin_fields to see gaps; who must not miss anything uses durable_subscriber.c. Needs libzmq alone, and so inflates
 * nothing: with sparkngin_gzip on it says so and ends.
 */
#include "keys.h"

/* A frame of the message, written out as it is; whether another one follows. */
static int frame(void *socket, int is_event) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, socket, 0) < 0) quit("receive", zmq_strerror(zmq_errno()));
    const unsigned char *bytes = zmq_msg_data(&message);
    size_t length = zmq_msg_size(&message);
    if (is_event && length > 1 && bytes[0] == 0x1f && bytes[1] == 0x8b) quit("live_reader", "these are gzip: sparkngin_gzip is on");
    fwrite(bytes, 1, length, stdout);
    int more = zmq_msg_more(&message);
    zmq_msg_close(&message);
    return more;
}

int main(int argc, char **argv) {
    struct keys keys = {0};
    int used = keys_flags(&keys, argc, argv);
    argc -= used, argv += used;
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_SUB);
    if (!socket) quit("socket", zmq_strerror(zmq_errno()));
    keys_lock(socket, &keys);
    int interval = 1000, timeout = 5000; /* notice a server that vanished, and connect again */
    zmq_setsockopt(socket, ZMQ_HEARTBEAT_IVL, &interval, sizeof interval);
    zmq_setsockopt(socket, ZMQ_HEARTBEAT_TIMEOUT, &timeout, sizeof timeout);
    if (argc < 3) zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    for (int i = 2; i < argc; i++) zmq_setsockopt(socket, ZMQ_SUBSCRIBE, argv[i], strlen(argv[i]));
    const char *endpoint = argc > 1 ? argv[1] : "tcp://127.0.0.1:7000";
    if (zmq_connect(socket, endpoint)) quit(endpoint, zmq_strerror(zmq_errno()));
    for (;;) {
        int more = frame(socket, 0);
        while (more) {
            putchar(' ');
            more = frame(socket, 1);
        }
        putchar('\n');
        if (fflush(stdout)) return 1;
    }
}
