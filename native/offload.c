#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "net.h"
#include "offload.h"

#define NEEDS_CHECKSUM 1u
#define DATA_VALID 2u
#define GSO_TCPV4 1u
#define GSO_ECN 0x80u
#define TCP_AT 34u /* behind Ethernet and IPv4 without options */
#define TCP_HEADER 20u
#define DATA_OFFSET_AT (TCP_AT + 12u)
#define FLAGS_AT (TCP_AT + 13u)
#define TCP_CHECKSUM 16u
#define FLAG_CWR 0x80u

void net_complete_checksum(uint8_t *frame, size_t length, size_t start, size_t offset)
{
    if (start + offset + 2 > length)
        return;
    uint16_t sum = net_checksum(frame + start, length - start, 0); /* the pseudo-header's sum is in the field already */
    if (sum == 0)
        sum = 0xFFFF; /* the same number; in UDP a zero would say that there is none (RFC 768) */
    frame[start + offset] = (uint8_t)(sum >> 8);
    frame[start + offset + 1] = (uint8_t)sum;
}

int net_is_partial_tcp(const struct virtio_header *header)
{
    return (header->flags & NEEDS_CHECKSUM) && header->csum_start == TCP_AT && header->csum_offset == TCP_CHECKSUM;
}

void net_place_text(const struct ring *ring, uint32_t index)
{
    const uint32_t text = ring->text_lengths[index];

    if (!text)
        return;
    memcpy(ring->buffer + ring->starts[index] + ring->lengths[index] - text, ring->texts[index], text);
    ring->text_lengths[index] = 0;
}

void net_complete_tcp(const struct ring *ring, uint32_t index)
{
    if (ring->checksums[index] != CHECKSUM_PARTIAL)
        return;
    net_complete_checksum(ring->buffer + ring->starts[index], ring->lengths[index], TCP_AT, TCP_CHECKSUM);
    ring->checksums[index] = CHECKSUM_FULL;
}

void net_take_virtio_header(const struct ring *ring, uint32_t index, const struct virtio_header *header, uint8_t *frame,
                            size_t length)
{
    if ((header->gso_type & ~GSO_ECN) == GSO_TCPV4)
        ring->gso_sizes[index] = header->gso_size;
    if (net_is_partial_tcp(header)) {
        ring->checksums[index] = CHECKSUM_PARTIAL;
    } else if (header->flags & NEEDS_CHECKSUM) {
        net_complete_checksum(frame, length, header->csum_start, header->csum_offset);
    } else if (header->flags & DATA_VALID) {
        ring->checksums[index] = CHECKSUM_VALID;
    }
}

void net_make_virtio_header(const struct ring *ring, uint32_t index, struct virtio_header *header)
{
    const uint8_t *const frame = ring->buffer + ring->starts[index];

    memset(header, 0, sizeof *header);
    if (ring->checksums[index] != CHECKSUM_PARTIAL || ring->lengths[index] < TCP_AT + TCP_HEADER)
        return;
    header->flags = NEEDS_CHECKSUM;
    header->csum_start = TCP_AT;
    header->csum_offset = TCP_CHECKSUM;
    header->hdr_len = (uint16_t)(TCP_AT + (frame[DATA_OFFSET_AT] >> 4) * 4u);
    if (ring->gso_sizes[index]) {
        header->gso_type = GSO_TCPV4 | (frame[FLAGS_AT] & FLAG_CWR ? GSO_ECN : 0);
        header->gso_size = (uint16_t)ring->gso_sizes[index];
    }
}
