/* What a link with offload leaves out of a frame, and the header that says so; shared by the C files, not by Python. */
#ifndef OFFLOAD_H
#define OFFLOAD_H

#define CHECKSUM_FULL 0u    /* as on the wire; as in ring.py */
#define CHECKSUM_PARTIAL 1u /* TCP's, without options of IPv4: the field holds only the pseudo-header's sum */
#define CHECKSUM_VALID 2u   /* verified by the device */

/* Virtio 1.2 section 5.1.6, as Linux has it before every frame of a TAP with IFF_VNET_HDR: in the host's byte order. */
struct virtio_header {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
};

/* Whether `header` is that of a TCP segment (without options of IPv4) whose checksum is partial. */
int net_is_partial_tcp(const struct virtio_header *header);

/* Put the text of frame `index` in its place. */
void net_place_text(const struct ring *ring, uint32_t index);

/* Note down what `header` says of frame `index`; a partial checksum that is not a plain segment's is completed. */
void net_take_virtio_header(const struct ring *ring, uint32_t index, const struct virtio_header *header, uint8_t *frame,
                            size_t length);

/* The header for frame `index`. */
void net_make_virtio_header(const struct ring *ring, uint32_t index, struct virtio_header *header);

/* Put the checksum of all that follows `start` at `offset` behind it; what is not within the frame is left alone. */
void net_complete_checksum(uint8_t *frame, size_t length, size_t start, size_t offset);

/* The same for the TCP checksum of frame `index`, if it is a partial one. */
void net_complete_tcp(const struct ring *ring, uint32_t index);

#endif
