#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "net.h"

#define ALIGNMENT 8u /* of the start of a frame; as in ring.py */

int64_t net_read_frames(int fd, const struct ring *ring, uint32_t count, uint32_t used)
{
    const uint32_t before = count;

    while (count < ring->max_frames && used <= ring->capacity && ring->capacity - used >= ring->max_frame) {
        const ssize_t size = read(fd, ring->buffer + used, ring->max_frame);
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
        count++;
        used += ((uint32_t)size + ALIGNMENT - 1u) & ~(ALIGNMENT - 1u);
    }
    return count;
}

int64_t net_write_frames(int fd, const struct ring *ring, uint32_t count)
{
    int64_t taken = 0;

    for (uint32_t i = 0; i < count;) {
        const ssize_t size = write(fd, ring->buffer + ring->starts[i], ring->lengths[i]);
        if (size < 0 && errno == EINTR)
            continue;
        if (size >= 0)
            taken++;
        else if (errno != EAGAIN && errno != ENOBUFS)
            return -errno;
        i++;
    }
    return taken;
}
