/* What a durable subscriber reads: members of a header, records with their checksums, events in the format binary, which are
 * printed as one line of JSON. docs/protocol.md describes all three. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- a header: one JSON object --- */

/* Behind a string, whose first quotation mark is at `at`. */
static const char *past_string(const char *at) {
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1]) at++;
    return *at ? at + 1 : at;
}

/* Where the value of a member begins; an empty text, when there is none. Only the object's own members count, not those of what is
 * in it. */
static const char *member(const char *json, const char *name) {
    size_t length = strlen(name);
    int depth = 0;
    for (const char *at = json; *at;) {
        if (*at == '"') {
            const char *end = past_string(at);
            int is_it = depth == 1 && (size_t)(end - at) == length + 2 && !memcmp(at + 1, name, length);
            at = end + strspn(end, " \t\r\n");
            if (*at == ':' && is_it) return at + 1 + strspn(at + 1, " \t\r\n");
        } else {
            depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
            at++;
        }
    }
    return "";
}

/* A member that is a text without escapes, as all of the protocol's own are; an empty one, when it is none or too long. */
static void member_text(const char *json, const char *name, char *text, size_t size) {
    const char *value = member(json, name);
    size_t length = *value == '"' ? strcspn(value + 1, "\"\\") : size;
    if (length >= size) length = 0;
    memcpy(text, value + (length > 0), length);
    text[length] = 0;
}

static uint64_t member_number(const char *json, const char *name, uint64_t otherwise) {
    const char *value = member(json, name);
    return *value >= '0' && *value <= '9' ? strtoull(value, NULL, 10) : otherwise;
}

/* --- a record --- */

static uint64_t little(const uint8_t *bytes, int count) {
    uint64_t number = 0;
    while (count--) number = number << 8 | bytes[count];
    return number;
}

static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t count) {
    static uint32_t table[256];
    for (uint32_t i = 0; !table[255] && i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78u : 0);
    }
    crc = ~crc;
    while (count--) crc = table[(crc ^ *bytes++) & 255] ^ crc >> 8;
    return ~crc;
}

/* Whether these are the bytes that the worker wrote: the sum goes over region, stream, length, and all behind itself. */
static int checks(const uint8_t *record, size_t length, const char *region, uint32_t stream) {
    uint8_t seed[24];
    for (int i = 0; i < 16; i++) {
        char digits[3] = {region[30 - 2 * i], region[31 - 2 * i], 0};
        seed[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    for (int i = 0; i < 4; i++) seed[16 + i] = (uint8_t)(stream >> 8 * i);
    memcpy(seed + 20, record, 4);
    return crc32c(crc32c(0, seed, 24), record + 8, length - 8) == little(record + 4, 4);
}

/* --- an event --- */

struct span {
    const uint8_t *bytes;
    size_t length;
};

/* Takes so many bytes from the front; whether there were so many. */
static int cut(struct span *from, size_t length, struct span *it) {
    if (length > from->length) return 0;
    *it = (struct span){from->bytes, length};
    from->bytes += length;
    from->length -= length;
    return 1;
}

/* Takes a varint, and as many bytes as it says. */
static int cut_counted(struct span *from, struct span *it) {
    size_t length = 0;
    for (int shift = 0; shift < 35 && from->length; shift += 7) {
        uint8_t byte = *from->bytes++;
        from->length--;
        length |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return cut(from, length, it);
    }
    return 0;
}

/* How many bytes the character at `at` has; 0 when it is none of UTF-8, and then `wrong` says how many to pass over. */
static size_t character(const uint8_t *at, size_t left, size_t *wrong) {
    uint8_t low = 0x80, high = 0xbf, first = *at;
    size_t more = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 9;
    *wrong = 1;
    if (more == 9) return 0;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
    for (; *wrong <= more; (*wrong)++, low = 0x80, high = 0xbf)
        if (*wrong >= left || at[*wrong] < low || at[*wrong] > high) return 0;
    return more + 1;
}

static void print_string(FILE *out, struct span text) {
    putc('"', out);
    for (size_t at = 0, step, wrong; at < text.length; at += step ? step : wrong) {
        const uint8_t *it = text.bytes + at;
        step = character(it, text.length - at, &wrong);
        if (!step) fputs("\xef\xbf\xbd", out);
        else if (*it >= 0x20) {
            if (*it == '"' || *it == '\\') putc('\\', out);
            fwrite(it, 1, step, out);
        } else {
            const char *is = *it ? strchr("\bb\tt\nn\ff\rr", *it) : NULL;
            if (is) fprintf(out, "\\%c", is[1]);
            else fprintf(out, "\\u%04X", *it);
        }
    }
    putc('"', out);
}

static void print_base64(FILE *out, struct span bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    putc('"', out);
    for (size_t at = 0; at < bytes.length; at += 3) {
        size_t left = bytes.length - at;
        const uint8_t *it = bytes.bytes + at;
        uint32_t word = (uint32_t)it[0] << 16 | (left > 1 ? (uint32_t)it[1] << 8 : 0) | (left > 2 ? it[2] : 0);
        for (int i = 0; i < 4; i++) putc((size_t)i > left ? '=' : digits[word >> (18 - 6 * i) & 63], out);
    }
    putc('"', out);
}

/* JSON as it came, but on one line: its line breaks stand between tokens only. */
static void print_json(FILE *out, struct span json) {
    for (size_t i = 0; i < json.length; i++) putc(json.bytes[i] == '\n' || json.bytes[i] == '\r' ? ' ' : json.bytes[i], out);
}

static void print_name(FILE *out, struct span name) {
    print_string(out, name);
    putc(':', out);
}

/* The payload, by its kind: JSON, text, bytes. */
static void print_data(FILE *out, struct span value) {
    uint8_t kind = value.length ? *value.bytes : 0;
    struct span data = {value.bytes + 1, value.length ? value.length - 1 : 0};
    fputs(kind == 3 ? "\"data_base64\":" : "\"data\":", out);
    if (kind == 1) print_json(out, data);
    else if (kind == 2) print_string(out, data);
    else print_base64(out, data);
}

/* One field, and a comma behind it; those that it does not know, and Kafka's headers (16), are passed over. */
static int print_field(FILE *out, struct span *event) {
    static const char *const names[] = {"", "version", "ip", "time_stamp", "submitted_timestamp", "level", "type", "topic", "env",
                                        "key", "id", "user-agent", "referrer", "cookie"};
    uint8_t id = *event->bytes++;
    struct span first, value;
    event->length--;
    if (!cut_counted(event, &first)) return 0;
    if (id == 0) {
        if (!cut_counted(event, &value)) return 0;
        print_name(out, first);
        print_string(out, value);
    } else if (id == 3 || id == 4) {
        if (first.length != 8) return 0;
        fprintf(out, "\"%s\":%llu", names[id], (unsigned long long)little(first.bytes, 8));
    } else if (id < 14) {
        fprintf(out, "\"%s\":", names[id]);
        print_string(out, first);
    } else if (id == 14) {
        print_data(out, first);
    } else if (id == 17) {
        struct span name;
        if (!cut_counted(&first, &name)) return 0;
        print_name(out, name);
        print_json(out, first);
    } else {
        return 1;
    }
    putc(',', out);
    return 1;
}

/* The event as a line of JSON, with its `sg`; whether it was one. */
static int print_event(FILE *out, const uint8_t *bytes, size_t length, const char *sg) {
    if (!length || *bytes != 1) return 0;
    struct span event = {bytes + 1, length - 1};
    putc('{', out);
    while (event.length)
        if (!print_field(out, &event)) return 0;
    fprintf(out, "\"sg\":\"%s\"}\n", sg);
    return 1;
}
