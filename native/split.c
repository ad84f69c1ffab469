#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "net.h"
#include "offload.h"

#define ALIGNMENT 8u
#define ETHERNET 14u
#define IPV4 20u
#define TCP 20u
#define TEMPLATE (ETHERNET + IPV4 + 4u) /* up to and with the TCP ports */
#define PROTOCOL_TCP 6u
#define OPTIONS_MAXIMUM 40u
#define DATAGRAM_MAXIMUM 0xFFFFu
#define FLAG_FIN 0x01u
#define FLAG_PSH 0x08u
#define FLAG_CWR 0x80u

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

static uint64_t get32(const uint8_t *at)
{
    return (uint64_t)at[0] << 24 | (uint64_t)at[1] << 16 | (uint64_t)at[2] << 8 | at[3];
}

/* The text of one frame: that of one segment, or of as many as one IP datagram can hold for the link to cut. */
static size_t text_of_frame(const struct ring *ring, size_t options_length, size_t mss)
{
    const size_t headers = IPV4 + TCP + options_length;
    const size_t room = ring->max_frame > ETHERNET ? ring->max_frame - ETHERNET : 0;
    const size_t most = room < DATAGRAM_MAXIMUM ? room : DATAGRAM_MAXIMUM;

    if (!ring->offload || most < headers + mss)
        return mss;
    return (most - headers) / mss * mss;
}

/* Lengths and checksums of a frame whose other fields, options and text stand; a link with offload sums up the text. */
static void finish(uint8_t *frame, uint32_t tcp_length, uint32_t offload)
{
    uint8_t *const ip = frame + ETHERNET;
    uint8_t *const tcp = ip + IPV4;

    put16(ip + 2, IPV4 + tcp_length);
    put16(ip + 10, 0);
    put16(ip + 10, net_checksum(ip, IPV4, 0));
    put32(tcp + 16, 0); /* checksum and urgent pointer */
    const uint64_t pseudo = get32(ip + 12) + get32(ip + 16) + PROTOCOL_TCP + tcp_length;
    if (offload)
        put16(tcp + 16, (uint16_t)~net_checksum(tcp, 0, pseudo));
    else
        put16(tcp + 16, net_checksum(tcp, tcp_length, pseudo));
}

int64_t net_emit_tcp(const struct ring *ring, uint32_t count, uint32_t used, const uint8_t *header_template,
                     size_t template_length, uint32_t seq, uint32_t ack, uint32_t flags, uint32_t window,
                     const uint8_t *options, size_t options_length, const uint8_t *payload, size_t payload_length,
                     size_t mss, int stays_there)
{
    const size_t headers = ETHERNET + IPV4 + TCP + options_length;
    size_t sent = 0;

    if (payload_length == 0)
        mss = 1; /* of no meaning then; a SYN's is what it announces, which leaves no room for the options */
    if (template_length != TEMPLATE || options_length > OPTIONS_MAXIMUM || options_length % 4 || mss == 0 ||
        mss > DATAGRAM_MAXIMUM - IPV4 - TCP - options_length || (stays_there && !ring->offload))
        return -EINVAL;
    const size_t most = text_of_frame(ring, options_length, mss);
    for (;;) {
        const size_t left = payload_length - sent;
        const size_t text = left < most ? left : most;
        const size_t length = headers + text;
        if (count == ring->max_frames || length > ring->max_frame || used > ring->capacity ||
            length > ring->capacity - used)
            return sent ? (int64_t)sent : -1;

        uint8_t *const frame = ring->buffer + used;
        uint8_t *const tcp = frame + ETHERNET + IPV4;
        uint32_t these = flags;
        if (text < left)
            these &= ~(FLAG_FIN | FLAG_PSH);
        if (sent)
            these &= ~FLAG_CWR;
        memcpy(frame, header_template, TEMPLATE);
        put32(tcp + 4, seq + (uint32_t)sent);
        put32(tcp + 8, ack);
        tcp[12] = (uint8_t)((TCP + options_length) << 2);
        tcp[13] = (uint8_t)these;
        put16(tcp + 14, window);
        if (options_length)
            memcpy(tcp + TCP, options, options_length);
        if (text && !stays_there)
            memcpy(frame + headers, payload + sent, text);
        finish(frame, (uint32_t)(length - ETHERNET - IPV4), ring->offload);

        ring->starts[count] = used;
        ring->lengths[count] = (uint32_t)length;
        ring->gso_sizes[count] = text > mss ? (uint32_t)mss : 0;
        ring->checksums[count] = ring->offload ? CHECKSUM_PARTIAL : CHECKSUM_FULL;
        ring->text_lengths[count] = stays_there ? (uint32_t)text : 0;
        count++;
        used += ((uint32_t)length + ALIGNMENT - 1u) & ~(ALIGNMENT - 1u);
        sent += text;
        if (sent == payload_length)
            return (int64_t)sent;
    }
}
