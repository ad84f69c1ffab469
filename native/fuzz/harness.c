/* Feeds every function random and adversarial input, under ASan and UBSan: buffers lie at the end of their
 * allocations, so that one octet too far is found. A fixed seed: a failure happens again. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "offload.h"

#define ROUNDS 60000u
#define FRAMES 16u
#define MAX_FRAME 200u
#define LONGEST 40000u

static uint64_t state = 0x9E3779B97F4A7C15u;

static uint32_t rnd(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}

static void *take(size_t size)
{
    void *const memory = malloc(size ? size : 1);
    if (!memory)
        abort();
    return memory;
}

static void require(int truth, const char *what)
{
    if (!truth) {
        fprintf(stderr, "harness: %s\n", what);
        exit(1);
    }
}

static uint16_t slow_checksum(const uint8_t *data, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

static void try_checksum(void)
{
    const size_t length = rnd(300);
    uint8_t *const data = take(length);
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)rnd(rnd(4) ? 256 : 1);
    require(net_checksum(data, length, 0) == slow_checksum(data, length), "checksum differs from the slow one");
    free(data);
}

static void open_ring(struct ring *ring, uint32_t capacity, uint32_t offload)
{
    ring->offload = offload;
    ring->capacity = capacity;
    ring->max_frame = MAX_FRAME;
    ring->max_frames = FRAMES;
    ring->buffer = take(capacity);
    ring->starts = take(FRAMES * sizeof(uint32_t));
    ring->lengths = take(FRAMES * sizeof(uint32_t));
    ring->gso_sizes = take(FRAMES * sizeof(uint32_t));
    ring->checksums = take(FRAMES * sizeof(uint32_t));
    ring->text_lengths = take(FRAMES * sizeof(uint32_t));
    ring->texts = take(FRAMES * sizeof(uint8_t *));
    ring->spares = NULL;
    ring->spare_count = ring->spare_length = 0;
}

static void close_ring(struct ring *ring)
{
    free(ring->buffer);
    free(ring->starts);
    free(ring->lengths);
    free(ring->gso_sizes);
    free(ring->checksums);
    free(ring->text_lengths);
    free(ring->texts);
}

static uint32_t frames_of(const struct ring *ring, int64_t sent, size_t options_length, size_t mss)
{
    size_t most = mss;
    if (ring->offload && MAX_FRAME - 54 - options_length >= mss)
        most = (MAX_FRAME - 54 - options_length) / mss * mss;
    return sent > 0 ? (uint32_t)(((size_t)sent + most - 1) / most) : 1;
}

/* What the caller of net_emit_tcp has to do for frames whose text stays where it is. */
static void point(const struct ring *ring, uint32_t first, uint32_t frames, const uint8_t *text)
{
    for (uint32_t i = first; i < first + frames; i++) {
        ring->texts[i] = text;
        text += ring->text_lengths[i];
    }
}

/* Spoils some octets and what the ring says of some frames. */
static void spoil(const struct ring *ring, uint32_t count, uint32_t used)
{
    for (uint32_t spoiled = rnd(4); spoiled && used; spoiled--)
        ring->buffer[rnd(used < ring->capacity ? used : ring->capacity)] = (uint8_t)rnd(256);
    if (!ring->offload || !count)
        return;
    for (uint32_t spoiled = rnd(4); spoiled; spoiled--) {
        const uint32_t index = rnd(count);
        ring->checksums[index] = rnd(3);
        ring->gso_sizes[index] = rnd(rnd(2) ? 3 : 65536);
        if (!rnd(4))
            ring->lengths[index] = ring->text_lengths[index] + rnd(ring->lengths[index] - ring->text_lengths[index] + 1);
    }
}

/* Emits segments, spoils them, and parses: whatever comes out must lie inside the ring. */
static void try_segments(void)
{
    static const uint8_t header[38] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 0, 0,
                                       0, 64, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1, 0, 80, 0, 81};
    static const uint8_t timestamps[12] = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
    struct ring ring;
    struct record records[FRAMES];
    uint32_t count = 0;
    uint32_t used = 0;
    uint32_t seq = 0xFFFFFF00u;
    uint8_t *texts[FRAMES];
    uint32_t text_count = 0;
    open_ring(&ring, 200 + rnd(FRAMES * MAX_FRAME), rnd(2));

    while (count < FRAMES) {
        const size_t length = rnd(400);
        const size_t mss = 1 + rnd(MAX_FRAME);
        const size_t options = rnd(2) ? 12 : 4 * rnd(4);
        uint8_t *const text = take(length);
        memset(text, (int)rnd(256), length);
        const int stays = ring.offload && rnd(2);
        const int64_t sent = net_emit_tcp(&ring, count, used, header, sizeof header, seq, 1, rnd(3) ? 16 : rnd(256),
                                          rnd(65536), timestamps, options, text, length, mss, stays);
        if (sent < 0) {
            free(text);
            break;
        }
        require((size_t)sent <= length, "more emitted than given");
        const uint32_t frames = frames_of(&ring, sent, options, mss);
        point(&ring, count, frames, text);
        if (!stays)
            free(text);
        else
            texts[text_count++] = text;
        count += frames;
        used = (ring.starts[count - 1] + ring.lengths[count - 1] + 7u) & ~7u;
        if (rnd(4))
            seq += (uint32_t)sent;
    }
    spoil(&ring, count, used);
    const uint32_t found = net_parse_tcp(&ring, count, header, records);
    require(found <= count, "more records than frames");
    for (uint32_t i = 0; i < found; i++)
        require(records[i].payload_start || records[i].payload_length == ring.text_lengths[records[i].index],
                "a payload elsewhere that is another one");
    for (uint32_t i = 0; i < found; i++)
        require(records[i].payload_start + records[i].payload_length <= ring.capacity, "a payload outside of the ring");
    close_ring(&ring);
    while (text_count)
        free(texts[--text_count]);
}

static void try_reassembly(void)
{
    const size_t size = 1 + rnd(300);
    const size_t most = 1 + rnd(8);
    uint8_t *const storage = take(size);
    uint64_t *const ranges = take(2 * most * sizeof *ranges);
    size_t count = 0;
    const uint64_t base = rnd(5000);

    for (int i = 0; i < 20; i++) {
        const size_t offset = rnd((uint32_t)size);
        const size_t length = rnd((uint32_t)(size - offset) + 1);
        uint8_t *const text = take(length);
        memset(text, i, length);
        const int64_t now = net_reassemble(storage, size, ranges, count, most, base + offset, text, length);
        free(text);
        if (now >= 0)
            count = (size_t)now;
        require(count <= most, "too many ranges");
        for (size_t r = 0; r < count; r++) {
            require(ranges[2 * r] < ranges[2 * r + 1], "an empty range");
            require(r == 0 || ranges[2 * r - 1] < ranges[2 * r], "ranges that touch or are not sorted");
        }
    }
    free(storage);
    free(ranges);
}

/* A ring whose size is no multiple of the alignment, and that is full: the next frame would start outside of it. */
static void try_odd_rings(void)
{
    int ends[2];
    if (pipe(ends) != 0)
        abort();
    require(write(ends[1], "octets", 6) == 6, "cannot write to a pipe");
    for (uint32_t capacity = 1; capacity < 40; capacity++) {
        struct ring ring;
        open_ring(&ring, capacity, 0);
        ring.max_frame = capacity;
        require(net_read_frames(ends[0], &ring, 1, (capacity + 7u) & ~7u) == 1, "read into a full ring");
        close_ring(&ring);
    }
    close(ends[0]);
    close(ends[1]);
}

static void try_batches(void)
{
    int ends[2];
    struct ring ring;
    uint8_t text[64] = {0};
    if (pipe(ends) != 0)
        abort();
    open_ring(&ring, 4 * MAX_FRAME, 0);
    require(write(ends[1], text, sizeof text) == (ssize_t)sizeof text, "cannot write to a pipe");
    close(ends[1]);
    require(net_read_frames(ends[0], &ring, 0, 0) == 1 && ring.lengths[0] == sizeof text, "a frame was not read");
    require(net_write_frames(-1, &ring, 1) == -EBADF, "no error for a bad descriptor");
    require(net_read_frames(-1, &ring, 0, 0) == -EBADF, "no error for a bad descriptor");
    close(ends[0]);
    close_ring(&ring);
}

/* Any frame behind any virtio header, read to the very end of a ring, parsed, and written again. */
static void try_virtio_headers(int ends[2])
{
    struct ring ring;
    struct record record;
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
    const uint32_t length = rnd(MAX_FRAME + 1);
    uint8_t *const octets = take(sizeof(struct virtio_header) + length);
    const struct virtio_header header = {
        .flags = (uint8_t)rnd(4),
        .gso_type = (uint8_t)(rnd(2) ? 1 : rnd(256)),
        .hdr_len = (uint16_t)rnd(65536),
        .gso_size = (uint16_t)rnd(65536),
        .csum_start = (uint16_t)(rnd(4) ? 34 : rnd(rnd(2) ? 300 : 65536)),
        .csum_offset = (uint16_t)(rnd(4) ? 16 : rnd(rnd(2) ? 300 : 65536)),
    };
    memcpy(octets, &header, sizeof header);
    memset(octets + sizeof header, (int)rnd(256), length);
    open_ring(&ring, length, 1);
    ring.max_frame = length;
    require(write(ends[0], octets, sizeof header + length) > 0, "cannot write to a socket");
    const int64_t count = net_read_frames(ends[1], &ring, 0, 0);
    require(count == (length > 0), "a frame was not read");
    if (count) {
        require(net_parse_tcp(&ring, 1, mac, &record) == 1, "no record of a frame");
        ring.checksums[0] = rnd(3);
        require(net_write_frames(ends[1], &ring, 1) == 1, "a frame was not written");
        require(read(ends[0], octets, sizeof header + length) > 0, "cannot read from a socket");
    }
    close_ring(&ring);
    free(octets);
}

/* Long frames into spares of any length, to the very end of each: what lies apart, and what lies in place, is the frame. */
static void try_spares(int ends[2])
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
    struct ring ring;
    struct record records[2];
    const uint32_t length = 66 + rnd(LONGEST - 66);
    uint8_t *const octets = take(sizeof(struct virtio_header) + length);
    uint8_t *const frame = octets + sizeof(struct virtio_header);
    const struct virtio_header header = {.flags = 1, .gso_type = 1, .gso_size = 1000, .csum_start = 34, .csum_offset = 16};
    static const uint8_t start[16] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0};

    memcpy(octets, &header, sizeof header);
    memset(frame, (int)rnd(256), length);
    memcpy(frame, start, sizeof start);
    frame[16] = (uint8_t)((length - 14) >> 8);
    frame[17] = (uint8_t)(length - 14);
    frame[20] = frame[21] = 0;
    frame[23] = 6;
    frame[46] = (uint8_t)((rnd(4) ? 8 : rnd(16)) << 4);
    frame[24] = frame[25] = 0;
    const uint16_t sum = net_checksum(frame + 14, 20, 0);
    frame[24] = (uint8_t)(sum >> 8);
    frame[25] = (uint8_t)sum;
    open_ring(&ring, 2 * (LONGEST + 8), 1);
    ring.max_frame = LONGEST;
    ring.max_frames = 2;
    uint8_t *spare = NULL;
    ring.spare_count = 1;
    ring.spare_length = rnd(4) ? rnd(LONGEST - 66) + 1 : length - 66 + rnd(2);
    spare = take(ring.spare_length);
    ring.spares = &spare;
    for (int i = 0; i < 2; i++)
        require(write(ends[0], octets, sizeof header + length) > 0, "cannot write to a socket");
    require(net_read_frames(ends[1], &ring, 0, 0) == 2, "two frames were not read");
    require(!(ring.text_lengths[0] && ring.text_lengths[1]), "one spare has two texts");
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t apart = ring.text_lengths[i];
        require(memcmp(ring.buffer + ring.starts[i], frame, length - apart) == 0, "a frame differs");
        require(!apart || memcmp(spare, frame + length - apart, apart) == 0, "a text differs");
        ring.texts[i] = spare;
    }
    require(net_parse_tcp(&ring, 2, mac, records) > 0, "no record of a frame");
    require(net_write_frames(ends[1], &ring, 2) == 2, "frames were not written");
    for (int i = 0; i < 2; i++)
        require(read(ends[0], octets, sizeof header + length) > 0, "cannot read from a socket");
    free(spare);
    close_ring(&ring);
    free(octets);
}

static void try_sockets(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0)
        abort();
    for (uint32_t i = 0; i < ROUNDS; i++)
        try_virtio_headers(ends);
    for (uint32_t i = 0; i < ROUNDS / 10; i++)
        try_spares(ends);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        try_checksum();
        try_segments();
        try_reassembly();
    }
    try_sockets();
    try_batches();
    try_odd_rings();
    printf("harness: %u rounds, nothing found\n", ROUNDS);
    return 0;
}
