#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "net.h"
#include "offload.h"

#define KIND_TCP 1u
#define KIND_ECHO 2u
#define ETHERNET 14u
#define IPV4 20u
#define TCP 20u
#define PROTOCOL_TCP 6u
#define PROTOCOL_ICMP 1u
#define ICMP 8u         /* octets of its header */
#define ECHO_REQUEST 8u /* and a code of 0 */
#define TIMESTAMPS 12u
#define FLAG_URG 0x20u
#define FRAGMENT_BITS 0x3FFFu /* more fragments, and the offset */

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
    return get16(at) << 16 | get16(at + 2);
}

/* RFC 1122 3.2.1.3: not "this network", loopback, multicast, class E or the limited broadcast. */
static int can_be_a_source(uint32_t address)
{
    const uint32_t first = address >> 24;
    return first != 0 && first != 127 && first < 224;
}

static void parse_options(const uint8_t *buffer, uint32_t start, uint32_t length, struct record *record)
{
    static const uint8_t lead[4] = {1, 1, 8, 10}; /* NOP, NOP, time stamps: RFC 7323 appendix A */

    if (length == TIMESTAMPS && memcmp(buffer + start, lead, sizeof lead) == 0) {
        record->has_ts = 1;
        record->ts_val = get32(buffer + start + 4);
        record->ts_ecr = get32(buffer + start + 8);
    } else if (length) {
        record->options_start = start;
        record->options_length = length;
    }
}

/* The octets that frame `index` carries of `protocol`, if it is plain: untagged, for `mac`, IPv4 without options or
 * fragmentation from a possible source, its header verified; 0 if it is not. */
static uint32_t parse_ipv4(const struct ring *ring, uint32_t index, const uint8_t *mac, uint8_t protocol)
{
    static const uint8_t plain[3] = {0x08, 0x00, 0x45}; /* EtherType, version 4 and IHL 5 */
    const uint32_t length = ring->lengths[index];
    const uint8_t *const frame = ring->buffer + ring->starts[index];
    const uint8_t *const ip = frame + ETHERNET;

    if (length < ETHERNET + IPV4 || memcmp(frame, mac, 6) != 0 || memcmp(ip - 2, plain, 3) != 0)
        return 0;
    const uint32_t total = get16(ip + 2);
    if (total < IPV4 || total > length - ETHERNET || (get16(ip + 6) & FRAGMENT_BITS) || ip[9] != protocol)
        return 0;
    return can_be_a_source(get32(ip + 12)) && net_checksum(ip, IPV4, 0) == 0 ? total - IPV4 : 0;
}

/* Whether frame `index` is a plain TCP segment, verified; `record` is zero and gets its fields. */
static int parse_plain(const struct ring *ring, uint32_t index, const uint8_t *mac, struct record *record)
{
    const uint8_t *const buffer = ring->buffer;
    const uint32_t start = ring->starts[index];
    const uint8_t *const ip = buffer + start + ETHERNET;
    const uint8_t *const tcp = ip + IPV4;
    const uint32_t size = parse_ipv4(ring, index, mac, PROTOCOL_TCP);

    if (size < TCP)
        return 0;
    const uint32_t header = (uint32_t)(tcp[12] >> 4) * 4u;
    const uint32_t src = get32(ip + 12);
    const uint32_t dst = get32(ip + 16);
    if (header < TCP || header > size || (tcp[13] & FLAG_URG))
        return 0;
    const uint64_t pseudo = (uint64_t)src + dst + PROTOCOL_TCP + size;
    if (ring->checksums[index] == CHECKSUM_FULL && net_checksum(tcp, size, pseudo) != 0)
        return 0;

    const uint32_t gso_size = ring->gso_sizes[index];
    const uint32_t options = start + ETHERNET + IPV4 + TCP;
    record->segments = gso_size && size > header ? (size - header + gso_size - 1u) / gso_size : 1u;
    record->src = src;
    record->dst = dst;
    record->src_port = get16(tcp);
    record->dst_port = get16(tcp + 2);
    record->seq = get32(tcp + 4);
    record->ack = get32(tcp + 8);
    record->flags = tcp[13];
    record->window = get16(tcp + 14);
    record->tos = ip[1];
    record->payload_start = options + header - TCP;
    record->payload_length = size - header;
    parse_options(buffer, options, header - TCP, record);
    return 1;
}

/* The same for an ICMP echo request, whose payload here is the whole message. */
static int parse_echo(const struct ring *ring, uint32_t index, const uint8_t *mac, struct record *record)
{
    const uint32_t start = ring->starts[index] + ETHERNET + IPV4;
    const uint8_t *const message = ring->buffer + start;
    const uint8_t *const ip = message - IPV4;
    const uint32_t size = parse_ipv4(ring, index, mac, PROTOCOL_ICMP);

    if (size < ICMP || message[0] != ECHO_REQUEST || message[1] || ring->checksums[index] == CHECKSUM_PARTIAL ||
        net_checksum(message, size, 0) != 0)
        return 0;
    record->segments = 1;
    record->src = get32(ip + 12);
    record->dst = get32(ip + 16);
    record->tos = ip[1];
    record->payload_start = start;
    record->payload_length = size;
    return 1;
}

/* Whether the text that frame `index` has elsewhere is all that a plain segment carries, and nothing is to be summed up:
 * then it need not be in its place. */
static int stays_apart(const struct ring *ring, uint32_t index)
{
    const uint8_t *const tcp = ring->buffer + ring->starts[index] + ETHERNET + IPV4;
    const uint32_t headers = ring->lengths[index] - ring->text_lengths[index];

    return ring->checksums[index] != CHECKSUM_FULL && headers >= ETHERNET + IPV4 + TCP &&
           headers == ETHERNET + IPV4 + (uint32_t)(tcp[12] >> 4) * 4u &&
           get16(tcp - IPV4 + 2) == ring->lengths[index] - ETHERNET;
}

uint32_t net_parse_tcp(const struct ring *ring, uint32_t count, const uint8_t *mac, struct record *records)
{
    uint32_t filled = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct record *const record = records + filled;
        memset(record, 0, sizeof *record);
        record->index = i;
        if (ring->text_lengths[i] && !stays_apart(ring, i))
            net_place_text(ring, i);
        if (parse_plain(ring, i, mac, record)) {
            record->kind = KIND_TCP;
            if (ring->text_lengths[i])
                record->payload_start = 0;
        } else {
            net_place_text(ring, i);
            if (parse_echo(ring, i, mac, record))
                record->kind = KIND_ECHO;
            else
                net_complete_tcp(ring, i);
        }
        if (filled == 0 || !net_merge(ring, record - 1, record))
            filled++;
    }
    return filled;
}
