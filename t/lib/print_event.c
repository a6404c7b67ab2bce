/* Prints the event in the format binary that it reads as hex from its argument, by the examples' own header. */
#include "../../examples/event.h"

int main(int argc, char **argv) {
    uint8_t bytes[65536];
    size_t length = argc == 2 ? strlen(argv[1]) / 2 : 0;
    if (length > sizeof bytes) return 2;
    for (size_t i = 0; i < length; i++) {
        char digits[3] = {argv[1][2 * i], argv[1][2 * i + 1], 0};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    /* What it uses of a header's reading stands in durable_subscriber.c. */
    (void)member_text, (void)member_number, (void)checks;
    return !print_event(stdout, bytes, length, "r-0-1");
}
