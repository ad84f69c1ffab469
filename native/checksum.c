#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "net.h"

/* One's complement addition does not care for byte order (RFC 1071 section 2 (B)): the words are added as they lie in
 * memory, 32 bits at a time into 64, and only the result is turned round. */

static uint16_t fold(uint64_t sum)
{
    sum = (sum & 0xFFFFFFFFu) + (sum >> 32);
    sum = (sum & 0xFFFFFFFFu) + (sum >> 32);
    sum = (sum & 0xFFFFu) + (sum >> 16);
    sum = (sum & 0xFFFFu) + (sum >> 16);
    sum = (sum & 0xFFFFu) + (sum >> 16);
    return (uint16_t)sum;
}

static uint16_t to_network(uint16_t value)
{
    const uint8_t octets[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    uint16_t in_memory;
    memcpy(&in_memory, octets, 2);
    return in_memory;
}

uint16_t net_checksum(const uint8_t *data, size_t length, uint64_t initial)
{
    uint64_t sum = to_network(fold(initial));
    uint64_t other = 0; /* two sums, so that two additions run side by side */
    uint32_t words[8];

    while (length >= sizeof words) {
        memcpy(words, data, sizeof words);
        sum += (uint64_t)words[0] + words[2] + words[4] + words[6];
        other += (uint64_t)words[1] + words[3] + words[5] + words[7];
        data += sizeof words;
        length -= sizeof words;
    }
    sum += other;
    while (length >= 2) {
        uint16_t word;
        memcpy(&word, data, 2);
        sum += word;
        data += 2;
        length -= 2;
    }
    if (length) {
        const uint8_t last[2] = {*data, 0};
        uint16_t word;
        memcpy(&word, last, 2);
        sum += word;
    }
    return to_network((uint16_t)~fold(sum));
}

uint16_t net_update_checksum(uint16_t checksum, uint16_t before, uint16_t after)
{
    uint32_t sum = (uint16_t)~checksum;
    sum += (uint16_t)~before;
    sum += after;
    return (uint16_t)~fold(sum);
}
