/* Takes a Sparkngin's feed and prints each event as a line of JSON: acknowledged, and so gone from the ring, only after it
 * was written and flushed. What was printed and not yet acknowledged when this is killed is printed again: see "sg".
 *
 *     cc -O2 -o durable_subscriber durable_subscriber.c -lzmq
 *     durable_subscriber [--server-key FILE] [--curve-key FILE] ENDPOINT NAME
 *
 * ENDPOINT is ipc:///var/lib/nginx/sparkngin/feed.sock or tcp://ADDRESS:PORT, NAME stands in nginx.conf as
 * `sparkngin_subscriber NAME;`. Where that has key=FILE, --curve-key is the other half of this key, and --server-key the public
 * half of sparkngin_curve_key. docs/protocol.md describes what is said ("Feed") and printed ("json"). Needs libzmq alone.
 */
#include "event.h"
#include "keys.h"
#include <inttypes.h>
#include <time.h>

/* What of a stream is not delivered, since WELCOME: an ACK says it. */
struct stream {
    char region[33];
    uint64_t number, lost, uncertain;
};
static struct stream *streams;
static size_t stream_count;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct stream *stream_of(const char *header) {
    char region[33];
    member_text(header, "region", region, sizeof region);
    uint64_t number = member_number(header, "stream", 0);
    for (size_t i = 0; i < stream_count; i++)
        if (streams[i].number == number && !strcmp(streams[i].region, region)) return &streams[i];
    struct stream *grown = realloc(streams, (stream_count + 1) * sizeof *streams);
    if (!grown) quit("memory", "there is none");
    streams = grown;
    struct stream *stream = &streams[stream_count++];
    memset(stream, 0, sizeof *stream);
    memcpy(stream->region, region, sizeof region);
    stream->number = number;
    return stream;
}

/* Prints the records of a BATCH; the last one's seq. */
static uint64_t print_batch(const struct stream *stream, const uint8_t *body, size_t length) {
    uint64_t seq = 0;
    for (size_t at = 0; at < length;) {
        size_t record = length - at < 24 ? 0 : (size_t)little(body + at, 4);
        if (record < 24 || record > length - at) quit("BATCH", "a record that is cut off");
        if (!checks(body + at, record, stream->region, (uint32_t)stream->number)) quit("BATCH", "a checksum does not hold");
        seq = little(body + at + 8, 8);
        char sg[96];
        snprintf(sg, sizeof sg, "%s-%" PRIu64 "-%" PRIu64, stream->region, stream->number, seq);
        if (!print_event(stdout, body + at + 24, record - 24, sg)) quit(sg, "no event in the format binary, version 1");
        at += (record + 7) / 8 * 8;
    }
    if (fflush(stdout) || ferror(stdout)) quit("output", "it cannot be written");
    return seq;
}

/* Does what a BATCH, LOST or UNCERTAIN asks for, and acknowledges it. */
static void take(void *socket, const char *kind, const char *header, const uint8_t *body, size_t length) {
    struct stream *stream = stream_of(header);
    char session[17], ack[512];
    uint64_t seq, from = member_number(header, "from", 0);
    const char *open = "";
    if (!strcmp(kind, "BATCH")) {
        seq = print_batch(stream, body, length);
    } else {
        fprintf(stderr, "%s: %s\n", kind, header);
        int endless = !strncmp(member(header, "to"), "null", 4);
        seq = endless ? from - 1 : member_number(header, "to", 0);
        *(strcmp(kind, "LOST") ? &stream->uncertain : &stream->lost) += seq - from + 1;
        if (endless) open = ",\"open\":true";
    }
    member_text(header, "session", session, sizeof session);
    snprintf(ack, sizeof ack,
             "{\"type\":\"ACK\",\"session\":\"%s\",\"cursors\":[{\"region\":\"%s\",\"stream\":%" PRIu64 ",\"seq\":%" PRIu64
             ",\"lost\":%" PRIu64 ",\"uncertain\":%" PRIu64 "%s}]}",
             session, stream->region, stream->number, seq, stream->lost, stream->uncertain, open);
    zmq_send(socket, ack, strlen(ack), 0);
}

/* One message: says what it was in `kind`, ends the program where the publisher will have none of us. Whether the session,
 * which WELCOME sets, goes on. */
static int hear(void *socket, char *session, char *kind, size_t size) {
    zmq_msg_t head, body;
    zmq_msg_init(&head);
    zmq_msg_init(&body);
    if (zmq_msg_recv(&head, socket, 0) < 0) quit("receive", zmq_strerror(zmq_errno()));
    size_t length = zmq_msg_size(&head);
    char *header = malloc(length + 1), of[17] = "";
    if (!header) quit("memory", "there is none");
    memcpy(header, zmq_msg_data(&head), length);
    header[length] = 0;
    if (zmq_msg_more(&head) && zmq_msg_recv(&body, socket, 0) < 0) quit("receive", zmq_strerror(zmq_errno()));
    member_text(header, "type", kind, size);
    member_text(header, "session", of, sizeof of);
    int goes_on = 1;
    if (!strcmp(kind, "WELCOME")) {
        strcpy(session, of);
        stream_count = 0; /* counts are since then */
    } else if (!strcmp(kind, "REFUSED") && (!*of || !strcmp(of, session))) {
        char reason[32];
        member_text(header, "reason", reason, sizeof reason);
        if (strcmp(reason, "session")) quit("refused", header);
        goes_on = 0;
    } else if (strcmp(of, session) || !*session) {
        *kind = 0; /* of a session that is over */
    } else if (!strcmp(kind, "BEAT")) {
        zmq_send(socket, header, length, 0); /* which is answered with itself */
    } else if (!strcmp(kind, "BATCH") || !strcmp(kind, "LOST") || !strcmp(kind, "UNCERTAIN")) {
        take(socket, kind, header, zmq_msg_data(&body), zmq_msg_size(&body));
    }
    free(header);
    zmq_msg_close(&head);
    zmq_msg_close(&body);
    return goes_on;
}

/* One connection, from HELLO until the publisher is silent for 3 s, or has forgotten the session. */
static void follow(void *socket, const char *name) {
    char hello[256], session[17] = "", kind[32];
    snprintf(hello, sizeof hello, "{\"type\":\"HELLO\",\"v\":1,\"name\":\"%s\",\"window\":1048576}", name);
    zmq_send(socket, hello, strlen(hello), 0);
    double heard = now();
    while (now() - heard < 3) {
        zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
        if (zmq_poll(&item, 1, 200) <= 0) continue;
        if (!hear(socket, session, kind, sizeof kind)) return;
        if (*kind) heard = now();
    }
    fprintf(stderr, "nothing was heard for 3 s, connecting again\n");
}

int main(int argc, char **argv) {
    struct keys keys = {0};
    int used = keys_flags(&keys, argc, argv);
    if (argc - used != 3) quit("usage", "durable_subscriber [--server-key FILE] [--curve-key FILE] ENDPOINT NAME");
    void *context = zmq_ctx_new();
    for (;;) {
        void *socket = zmq_socket(context, ZMQ_DEALER);
        if (!socket) quit("socket", zmq_strerror(zmq_errno()));
        int linger = 0;
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
        keys_lock(socket, &keys);
        if (zmq_connect(socket, argv[used + 1])) quit(argv[used + 1], zmq_strerror(zmq_errno()));
        follow(socket, argv[used + 2]);
        zmq_close(socket);
    }
}
