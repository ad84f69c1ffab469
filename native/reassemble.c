#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "net.h"

static void store(uint8_t *storage, size_t size, uint64_t position, const uint8_t *octets, size_t length)
{
    const size_t start = (size_t)(position % size);
    const size_t head = length < size - start ? length : size - start;
    memcpy(storage + start, octets, head);
    memcpy(storage, octets + head, length - head);
}

int64_t net_reassemble(uint8_t *storage, size_t size, uint64_t *ranges, size_t count, size_t max_ranges,
                       uint64_t offset, const uint8_t *payload, size_t length)
{
    const uint64_t end = offset + length;
    size_t low = 0;
    size_t high = count;

    if (length == 0 || length > size)
        return length ? -1 : (int64_t)count;
    while (low < high) { /* the first range that ends at or behind `offset` */
        const size_t middle = low + (high - low) / 2;
        if (ranges[2 * middle + 1] < offset)
            low = middle + 1;
        else
            high = middle;
    }
    size_t last = low; /* one past the last range that starts at or before `end` */
    while (last < count && ranges[2 * last] <= end)
        last++;
    if (last == low) {
        if (count >= max_ranges)
            return -1;
        memmove(ranges + 2 * low + 2, ranges + 2 * low, 2 * (count - low) * sizeof *ranges);
        ranges[2 * low] = offset;
        ranges[2 * low + 1] = end;
        store(storage, size, offset, payload, length);
        return (int64_t)count + 1;
    }

    uint64_t position = offset; /* fill the gaps: what is held stays as it is */
    for (size_t i = low; i < last; i++) {
        if (position < ranges[2 * i])
            store(storage, size, position, payload + (position - offset), (size_t)(ranges[2 * i] - position));
        if (position < ranges[2 * i + 1])
            position = ranges[2 * i + 1];
    }
    if (position < end)
        store(storage, size, position, payload + (position - offset), (size_t)(end - position));
    if (offset < ranges[2 * low])
        ranges[2 * low] = offset;
    ranges[2 * low + 1] = position < end ? end : position;
    memmove(ranges + 2 * low + 2, ranges + 2 * last, 2 * (count - last) * sizeof *ranges);
    return (int64_t)(count - (last - low) + 1);
}
