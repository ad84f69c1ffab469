/* The fast path: what touches every octet. Pure functions over buffers; no protocol state lives here, and nothing is
 * allocated. stack/fastpath/reference.py says the same in Python and is the oracle that this is tested against.
 *
 * This file is given to cffi's cdef() as it stands, so it has no preprocessor lines; include <stddef.h> and
 * <stdint.h> before it. All multi-octet values in arguments and records are in the host's byte order. */

/* A frame ring (stack/fastpath/ring.py, which says what a super-frame is, what its checksum can be, and where its text):
 * packed frames; the arrays have room for max_frames. The last text_lengths[i] octets of frame i are not in their place
 * but at texts[i]. Each of the `spare_count` spares has room for text_length octets of text that is read. */
struct ring {
    uint8_t *buffer;
    uint32_t *starts;
    uint32_t *lengths;
    uint32_t *gso_sizes;
    uint32_t *checksums;
    uint32_t *text_lengths;
    const uint8_t **texts;
    uint8_t **spares;
    uint32_t capacity;
    uint32_t max_frame;
    uint32_t max_frames;
    uint32_t offload;
    uint32_t spare_count;
    uint32_t spare_length;
};

/* One frame, or one run of merged segments. All fields of 32 bits, so that it unpacks in one go. */
struct record {
    uint32_t kind;
    uint32_t index;
    uint32_t segments;
    uint32_t src;
    uint32_t dst;
    uint32_t src_port;
    uint32_t dst_port;
    uint32_t seq;
    uint32_t ack;
    uint32_t flags;
    uint32_t window;
    uint32_t tos;
    uint32_t has_ts;
    uint32_t ts_val;
    uint32_t ts_ecr;
    uint32_t options_start;
    uint32_t options_length;
    uint32_t payload_start;
    uint32_t payload_length;
};

/* The Internet checksum (RFC 1071) of data; initial is a partial sum to add. */
uint16_t net_checksum(const uint8_t *data, size_t length, uint64_t initial);

/* RFC 1624 equation 3: the checksum after the 16-bit word `before` has become `after`. */
uint16_t net_update_checksum(uint16_t checksum, uint16_t before, uint16_t after);

/* Read frames from fd behind the `count` that are there (the next goes to `used`) until EAGAIN or the ring is full.
 * In a ring with offload a virtio header comes before each, there and when writing; and the long text of a frame whose
 * checksum is partial goes into the next of the spares, if it fits, and is then not in its place (texts are left alone).
 * Returns the new count, or -errno when nothing could be read for another reason. */
int64_t net_read_frames(int fd, const struct ring *ring, uint32_t count, uint32_t used);

/* Write `count` frames to fd. Returns how many the kernel took (EAGAIN, ENOBUFS and ENOMEM lose a frame), or -errno. */
int64_t net_write_frames(int fd, const struct ring *ring, uint32_t count);

/* Fill `records`, which has room for `count`, with what the frames are; a frame that is no plain segment gets its
 * checksum, and its text in place. A payload_start of 0: it is at texts[index]. Returns the number of records. */
uint32_t net_parse_tcp(const struct ring *ring, uint32_t count, const uint8_t *mac, struct record *records);

/* Append `next` to the run `run` if it is more of the same, moving its payload; returns 1 if so, else 0. */
int net_merge(const struct ring *ring, struct record *run, const struct record *next);

/* Append payload as frames of at most mss octets of text or, in a ring with offload, as super-frames; with stays_there
 * (only in a ring with offload) their text is left where it is, and the caller has to set the frames' texts. Returns the
 * octets emitted, from which the caller knows how many frames there are; -1 when not even one frame fits; -EINVAL for a
 * template, options or, with payload, an mss that no segment can have. */
int64_t net_emit_tcp(const struct ring *ring, uint32_t count, uint32_t used, const uint8_t *header_template,
                     size_t template_length, uint32_t seq, uint32_t ack, uint32_t flags, uint32_t window,
                     const uint8_t *options, size_t options_length, const uint8_t *payload, size_t payload_length,
                     size_t mss, int stays_there);

/* Store payload at stream offset `offset` in the circular storage, and keep `ranges`, which holds `count` of at most
 * `max_ranges` pairs. Returns the new count, or -1, and nothing is changed, when there is no room for one more
 * or payload is longer than the storage. */
int64_t net_reassemble(uint8_t *storage, size_t size, uint64_t *ranges, size_t count, size_t max_ranges,
                       uint64_t offset, const uint8_t *payload, size_t length);
