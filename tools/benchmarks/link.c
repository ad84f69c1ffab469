/* A bad link in real time: a bottleneck with a drop-tail queue, delay, loss and reordering.
 *
 *     link RATE DELAY QUEUE LOSS REORDERING LATE SEED  LEFT RIGHT [LEFT RIGHT]...
 *
 * RATE is in bits a second, DELAY (one way) and LATE in nanoseconds, QUEUE in octets, LOSS and REORDERING in frames of
 * a million; LEFT and RIGHT are file descriptors of which one read or write is one Ethernet frame: TAP devices or
 * sockets of type SOCK_SEQPACKET. What is read from a LEFT goes to its RIGHT and the other way round; all pairs share
 * one bottleneck in each direction.
 *
 *     read -> [queue] -> transmitter at RATE -> lost? -> DELAY, some LATE -> write
 *
 * It looks at its descriptors and clocks every TICK while anything is on its way, as a network card that moderates its
 * interrupts: to be woken for every frame would take more of a small machine than the ends do. It runs ahead of the
 * programs that it connects where it may (SCHED_RR): a link does not wait for the machine behind it.
 *
 * Ends at the end of file of its standard input and then prints what it counted, as JSON.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    FRAME = 2048,    /* longest frame */
    PAIRS = 8,       /* at most */
    BATCH = 64,      /* frames read from one descriptor at a time */
    TICK = 200000,   /* nanoseconds */
    TARDY = 1000000, /* nanoseconds after which a delivery is one that the machine was too busy for */
    FIRST_FD = 8     /* argv[8] and on: the descriptors */
};

static const int64_t SECOND = 1000000000;

struct profile {
    int64_t rate, delay, queue, late;
    uint64_t loss, reordering;
};

struct frame {
    struct frame *next;
    int64_t due;
    int fd;
    size_t length;
    unsigned char octets[];
};

struct fifo {
    struct frame *first, **end;
};

struct direction {
    int64_t free_at; /* when the transmitter is done with all that it has */
    uint64_t random;
    struct fifo punctual, late; /* on their way; each in order of arrival */
    uint64_t frames, octets, overflows, lost, reordered, delivered, refused, tardy;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* splitmix64: https://prng.di.unimi.it/splitmix64.c (public domain) */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int happens(struct direction *way, uint64_t of_a_million)
{
    return next_random(&way->random) % 1000000 < of_a_million;
}

static void append(struct fifo *fifo, struct frame *frame)
{
    frame->next = NULL;
    *fifo->end = frame;
    fifo->end = &frame->next;
}

static struct frame *take(struct fifo *fifo)
{
    struct frame *frame = fifo->first;
    fifo->first = frame->next;
    if (!fifo->first)
        fifo->end = &fifo->first;
    return frame;
}

/* A frame has come in at `now`, and is to go out on `fd`. */
static void enter(struct direction *way, const struct profile *profile, const unsigned char *octets, size_t length,
                  int fd, int64_t now)
{
    int64_t start = way->free_at > now ? way->free_at : now;
    int64_t queued = (start - now) * profile->rate / (8 * SECOND);

    way->frames++;
    way->octets += length;
    if (queued + (int64_t)length > profile->queue) {
        way->overflows++;
        return;
    }
    way->free_at = start + (int64_t)length * 8 * SECOND / profile->rate;
    if (happens(way, profile->loss)) {
        way->lost++;
        return;
    }
    struct frame *frame = malloc(sizeof *frame + length);
    if (!frame)
        abort();
    frame->due = way->free_at + profile->delay;
    frame->fd = fd;
    frame->length = length;
    memcpy(frame->octets, octets, length);
    if (happens(way, profile->reordering)) {
        way->reordered++;
        frame->due += profile->late;
        append(&way->late, frame);
    } else {
        append(&way->punctual, frame);
    }
}

static int64_t due(const struct direction *way)
{
    int64_t punctual = way->punctual.first ? way->punctual.first->due : INT64_MAX;
    int64_t late = way->late.first ? way->late.first->due : INT64_MAX;
    return punctual < late ? punctual : late;
}

static void deliver(struct direction *way, int64_t now)
{
    for (int64_t when; (when = due(way)) <= now;) {
        struct fifo *fifo = way->punctual.first && way->punctual.first->due == when ? &way->punctual : &way->late;
        struct frame *frame = take(fifo);
        if (write(frame->fd, frame->octets, frame->length) == (ssize_t)frame->length)
            way->delivered++;
        else
            way->refused++; /* the end has no room, or is gone */
        if (now - when > TARDY)
            way->tardy++;
        free(frame);
    }
}

static void receive(struct direction *way, const struct profile *profile, int from, int to)
{
    unsigned char octets[FRAME];

    for (int i = 0; i < BATCH; i++) {
        ssize_t length = read(from, octets, sizeof octets);
        if (length <= 0)
            return;
        enter(way, profile, octets, (size_t)length, to, now_ns());
    }
}

static void print(const char *name, const struct direction *way)
{
    printf("\"%s\": {\"frames\": %" PRIu64 ", \"octets\": %" PRIu64 ", \"overflows\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"reordered\": %" PRIu64 ", \"delivered\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"tardy\": %" PRIu64 "}",
           name, way->frames, way->octets, way->overflows, way->lost, way->reordered, way->delivered, way->refused,
           way->tardy);
}

static void run(struct direction ways[2], const struct profile *profile, struct pollfd *polled, nfds_t count)
{
    const struct timespec tick = {0, TICK};
    for (;;) {
        int flying = due(&ways[0]) != INT64_MAX || due(&ways[1]) != INT64_MAX;
        if (flying)
            nanosleep(&tick, NULL);
        if (poll(polled, count, flying ? 0 : -1) < 0 && errno != EINTR)
            return;
        if (polled[0].revents)
            return;
        for (nfds_t i = 1; i < count; i++) {
            nfds_t other = (i - 1) % 2 ? i - 1 : i + 1;
            if (polled[i].revents & POLLIN)
                receive(&ways[(i - 1) % 2], profile, polled[i].fd, polled[other].fd);
            else if (polled[i].revents)
                polled[i].fd = ~polled[i].fd; /* the end is gone: look at it no more */
        }
        int64_t now = now_ns();
        deliver(&ways[0], now);
        deliver(&ways[1], now);
    }
}

static int64_t number(const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || end == text || value < 0) {
        fprintf(stderr, "link: %s is not a number\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    int ends = argc - FIRST_FD;
    if (ends < 2 || ends % 2 || ends > 2 * PAIRS) {
        fprintf(stderr, "usage: link RATE DELAY QUEUE LOSS REORDERING LATE SEED LEFT RIGHT [LEFT RIGHT]...\n");
        return 2;
    }
    const struct profile profile = {
        .rate = number(argv[1]),
        .delay = number(argv[2]),
        .queue = number(argv[3]),
        .loss = (uint64_t)number(argv[4]),
        .reordering = (uint64_t)number(argv[5]),
        .late = number(argv[6]),
    };
    struct direction ways[2] = {{.free_at = 0}};
    for (uint64_t i = 0; i < 2; i++) {
        ways[i].random = 2 * (uint64_t)number(argv[7]) + i;
        ways[i].punctual.end = &ways[i].punctual.first;
        ways[i].late.end = &ways[i].late.first;
    }
    struct pollfd polled[1 + 2 * PAIRS] = {{.fd = 0, .events = POLLIN}};
    for (int i = 0; i < ends; i++) {
        polled[1 + i] = (struct pollfd){.fd = (int)number(argv[FIRST_FD + i]), .events = POLLIN};
        fcntl(polled[1 + i].fd, F_SETFL, fcntl(polled[1 + i].fd, F_GETFL) | O_NONBLOCK);
    }
    const struct sched_param priority = {.sched_priority = 1};
    sched_setscheduler(0, SCHED_RR, &priority); /* needs privileges: without, it is as late as the machine is busy */
    prctl(PR_SET_TIMERSLACK, 1UL);
    run(ways, &profile, polled, (nfds_t)(1 + ends));
    printf("{");
    print("to_right", &ways[0]);
    printf(", ");
    print("to_left", &ways[1]);
    printf(", \"cpu\": %.3f}\n", (double)clock() / CLOCKS_PER_SEC);
    return 0;
}
