#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net.h"
#include "offload.h"

#define ALIGNMENT 8u /* of the start of a frame; as in ring.py */

#define TEXT_AT 66u      /* where text begins behind Ethernet, IPv4 and TCP with time stamps and nothing else */
#define LONG_TEXT 16384u /* shorter text is copied sooner than it is kept apart, and can be merged */

/* Reads a frame with what follows TEXT_AT into `spare`. There it stays if it fits, is long, and need not be summed up
 * (whether it is text all of it, net_parse_tcp will see); otherwise it is put in its place. */
static ssize_t read_parted(int fd, const struct ring *ring, uint32_t index, uint8_t *frame, uint8_t *spare,
                           struct virtio_header *header)
{
    const uint32_t room = ring->spare_length;
    struct iovec parts[4] = {{header, sizeof *header},
                             {frame, TEXT_AT},
                             {spare, room},
                             {frame + TEXT_AT + room, ring->max_frame - TEXT_AT - room}};

    const ssize_t size = readv(fd, parts, 4);
    if (size <= (ssize_t)(sizeof *header + TEXT_AT))
        return size;
    const size_t length = (size_t)size - sizeof *header;
    const size_t text = length - TEXT_AT;
    if (text <= room && text >= LONG_TEXT && net_is_partial_tcp(header))
        ring->text_lengths[index] = (uint32_t)text;
    else
        memcpy(frame + TEXT_AT, spare, text < room ? text : room);
    return size;
}

/* A plain write() costs 100 ns less than a writev() of one part, so the header's is the way only where it is needed. */
static ssize_t read_frame(int fd, const struct ring *ring, uint32_t index, uint32_t start, uint8_t *spare)
{
    uint8_t *const frame = ring->buffer + start;
    struct virtio_header header;
    struct iovec parts[2] = {{&header, sizeof header}, {frame, ring->max_frame}};

    ring->gso_sizes[index] = 0;
    ring->checksums[index] = CHECKSUM_FULL;
    ring->text_lengths[index] = 0;
    if (!ring->offload)
        return read(fd, frame, ring->max_frame);
    const ssize_t size = spare ? read_parted(fd, ring, index, frame, spare, &header) : readv(fd, parts, 2);
    if (size < (ssize_t)sizeof header)
        return size < 0 ? size : 0;
    const size_t length = (size_t)size - sizeof header;
    net_take_virtio_header(ring, index, &header, frame, length);
    return (ssize_t)length;
}

int64_t net_read_frames(int fd, const struct ring *ring, uint32_t count, uint32_t used)
{
    const uint32_t before = count;
    const int is_parted = ring->spare_length && ring->max_frame >= TEXT_AT + ring->spare_length;
    uint32_t spares = 0;

    while (count < ring->max_frames && used <= ring->capacity && ring->capacity - used >= ring->max_frame) {
        uint8_t *const spare = is_parted && spares < ring->spare_count ? ring->spares[spares] : NULL;
        const ssize_t size = read_frame(fd, ring, count, used, spare);
        if (size < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN || count > before)
                break; /* an error after some frames shows again at the next call */
            return -errno;
        }
        if (size == 0)
            break;
        ring->starts[count] = used;
        ring->lengths[count] = (uint32_t)size;
        if (ring->text_lengths[count])
            spares++;
        count++;
        used += ((uint32_t)size + ALIGNMENT - 1u) & ~(ALIGNMENT - 1u);
    }
    return count;
}

static ssize_t write_frame(int fd, const struct ring *ring, uint32_t index)
{
    uint8_t *const frame = ring->buffer + ring->starts[index];
    const size_t length = ring->lengths[index];
    struct virtio_header header;
    struct iovec parts[3] = {{&header, sizeof header}, {frame, length}};

    if (!ring->offload)
        return write(fd, frame, length);
    net_make_virtio_header(ring, index, &header);
    const size_t text = ring->text_lengths[index];
    if (!text)
        return writev(fd, parts, 2);
    parts[1].iov_len = length - text;
    parts[2].iov_base = (void *)(uintptr_t)ring->texts[index]; /* only read: iovec knows no const */
    parts[2].iov_len = text;
    return writev(fd, parts, 3);
}

int64_t net_write_frames(int fd, const struct ring *ring, uint32_t count)
{
    int64_t taken = 0;

    for (uint32_t i = 0; i < count;) {
        const ssize_t size = write_frame(fd, ring, i);
        if (size < 0 && errno == EINTR)
            continue;
        if (size >= 0)
            taken++;
        else if (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM)
            return -errno;
        i++;
    }
    return taken;
}
