/* One flow of frames between a TAP device and the kernel's own TCP, with as little done for it as can be: what a stack
 * on that device could reach if it cost nothing. It is no TCP: it knows one peer, which loses nothing and plays fair.
 *
 *     flow send FD OWN PEER              connects to PEER:5001 and sends full segments until its standard input ends
 *     flow receive FD OWN PEER SECONDS   accepts a connection to OWN:5001 and reads, from the first segment on
 *
 * FD is that of a TAP device without offload; OWN and PEER are IPv4 addresses, PEER the kernel's. The conversation is that
 * of kernel_peer.py. Segments have no time stamps. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ETHERNET = 14, IPV4 = 20, TCP = 20, TCP_AT = ETHERNET + IPV4, HEADERS = TCP_AT + TCP };
enum { LONGEST = 2048, PORT = 5001, MSS = 1460, PATIENCE = 200 /* ms without an acknowledgment */ };
enum { ROUND = 64 /* frames between two looks at the clock, or two acknowledgments */ };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

struct flow {
    int fd;
    unsigned char mac[6], peer_mac[6], own[4], peer[4];
    uint16_t own_port, peer_port;
    uint32_t next;            /* the sequence number of what we send next */
    uint32_t acknowledged;    /* by the peer */
    uint32_t window;          /* the peer's, in octets */
    unsigned shift;           /* of the peer's windows */
    uint32_t received;        /* the sequence number of what the peer sends next */
    unsigned char flags;      /* of the last segment that came */
    size_t text;              /* how much of it was new */
    unsigned char frame[LONGEST];
    unsigned char out[HEADERS + MSS];
};

static void fail(const char *what)
{
    fprintf(stderr, "flow: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void put16(unsigned char *at, uint32_t value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static void put32(unsigned char *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

static uint32_t get16(const unsigned char *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t get32(const unsigned char *at)
{
    return get16(at) << 16 | get16(at + 2);
}

static uint32_t sum(const unsigned char *at, size_t length, uint32_t total)
{
    for (size_t i = 0; i + 1 < length; i += 2)
        total += get16(at + i);
    return total;
}

static uint32_t fold(uint32_t total)
{
    while (total >> 16)
        total = (total & 0xFFFF) + (total >> 16);
    return total;
}

static void write_frame(const struct flow *flow, const unsigned char *frame, size_t length)
{
    if (write(flow->fd, frame, length) != (ssize_t)length)
        fail("write");
}

static void send_arp(const struct flow *flow, unsigned operation)
{
    unsigned char frame[42] = {[12] = 8, [13] = 6, [15] = 1, [16] = 8, [18] = 6, [19] = 4, [21] = (unsigned char)operation};

    memset(frame, 0xff, 6);
    memcpy(frame + 6, flow->mac, 6);
    memcpy(frame + 22, flow->mac, 6);
    memcpy(frame + 28, flow->own, 4);
    memcpy(frame + 38, flow->peer, 4);
    write_frame(flow, frame, sizeof frame);
}

/* A segment at `next` with `length` octets, all zero, so that they do not count in the checksum. */
static void send_segment(struct flow *flow, unsigned flags, const unsigned char *options, size_t options_length,
                         size_t length)
{
    unsigned char *const frame = flow->out, *const ip = frame + ETHERNET, *const tcp = frame + TCP_AT;
    const size_t header = TCP + options_length;

    memcpy(frame, flow->peer_mac, 6);
    memcpy(frame + 6, flow->mac, 6);
    put16(frame + 12, 0x0800);
    memset(ip, 0, IPV4 + TCP + 40); /* options of a segment before, too */
    put16(ip, 0x4500);
    put16(ip + 2, (uint32_t)(IPV4 + header + length));
    put16(ip + 6, 0x4000); /* do not fragment */
    ip[8] = 64;
    ip[9] = 6;
    memcpy(ip + 12, flow->own, 4);
    memcpy(ip + 16, flow->peer, 4);
    put16(ip + 10, ~fold(sum(ip, IPV4, 0)));
    put16(tcp, flow->own_port);
    put16(tcp + 2, flow->peer_port);
    put32(tcp + 4, flow->next);
    put32(tcp + 8, flags & ACK ? flow->received : 0);
    tcp[12] = (unsigned char)(header << 2);
    tcp[13] = (unsigned char)flags;
    put16(tcp + 14, 0xFFFF);
    if (options_length)
        memcpy(tcp + TCP, options, options_length);
    put16(tcp + 16, ~fold(sum(tcp, header, sum(ip + 12, 8, (uint32_t)(6 + header + length)))));
    write_frame(flow, frame, TCP_AT + header + length);
    flow->next += (uint32_t)length + !!(flags & SYN);
}

static unsigned window_shift(const unsigned char *option, const unsigned char *end)
{
    while (option < end && *option)
        if (*option == 1)
            option++;
        else if (option + 2 < end && *option == 3)
            return option[2];
        else if (option + 1 < end && option[1] >= 2)
            option += option[1];
        else
            break;
    return 0;
}

/* Reads a frame; 1: it was a segment of the flow, 0: it was another, -1: there is none. */
static int read_frame(struct flow *flow)
{
    unsigned char *const frame = flow->frame, *const ip = frame + ETHERNET, *const tcp = frame + TCP_AT;
    const ssize_t length = read(flow->fd, frame, LONGEST);

    flow->text = 0;
    if (length < 0) {
        if (errno != EAGAIN)
            fail("read");
        return -1;
    }
    if (length >= 42 && get16(frame + 12) == 0x0806) {
        memcpy(flow->peer_mac, frame + 22, 6);
        if (frame[21] == 1 && memcmp(frame + 38, flow->own, 4) == 0)
            send_arp(flow, 2);
        return 0;
    }
    if (length < HEADERS || get16(frame + 12) != 0x0800 || ip[0] != 0x45 || ip[9] != 6 || get16(tcp + 2) != flow->own_port)
        return 0;
    const size_t header = (size_t)(tcp[12] >> 4) * 4, total = get16(ip + 2);
    if (total < IPV4 + header || (size_t)length < ETHERNET + total)
        return 0;
    flow->flags = tcp[13];
    if (flow->flags & SYN) {
        flow->peer_port = (uint16_t)get16(tcp);
        flow->received = get32(tcp + 4) + 1;
        flow->shift = window_shift(tcp + TCP, tcp + header);
    }
    if (flow->flags & ACK)
        flow->acknowledged = get32(tcp + 8);
    flow->window = get16(tcp + 14) << (flow->flags & SYN ? 0 : flow->shift);
    if (!(flow->flags & SYN) && get32(tcp + 4) == flow->received)
        flow->text = total - IPV4 - header;
    flow->received += (uint32_t)flow->text;
    return 1;
}

/* Waits until the device is readable; 0: standard input was sooner, or PATIENCE is over. */
static int wait_for_frame(const struct flow *flow)
{
    struct pollfd polled[2] = {{.fd = flow->fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};

    return poll(polled, 2, PATIENCE) > 0 && !polled[1].revents;
}

static int has_ended(void)
{
    struct pollfd polled = {.fd = 0, .events = POLLIN};

    return poll(&polled, 1, 0) > 0;
}

static void wait_for_flags(struct flow *flow, unsigned flags)
{
    for (int tries = 0; tries < 100; tries++)
        while (wait_for_frame(flow))
            if (read_frame(flow) == 1 && (flow->flags & flags) == flags)
                return;
    errno = ETIMEDOUT;
    fail("no connection");
}

static uint64_t send_text(struct flow *flow)
{
    static const unsigned char options[8] = {2, 4, MSS >> 8, MSS & 0xff, 1, 3, 3, 0};
    uint64_t frames = 0;

    flow->own_port = 20000;
    flow->peer_port = PORT;
    send_arp(flow, 1);
    while (!flow->peer_mac[5] && wait_for_frame(flow))
        read_frame(flow);
    send_segment(flow, SYN, options, sizeof options, 0);
    wait_for_flags(flow, SYN | ACK);
    send_segment(flow, ACK, NULL, 0, 0);
    unsigned char *const tcp = flow->out + TCP_AT;
    send_segment(flow, ACK, NULL, 0, MSS); /* which leaves its headers in `out`; only two fields change from now on */
    const uint32_t constant = fold((uint16_t)~get16(tcp + 16) + (uint32_t)(uint16_t)~fold(sum(tcp + 4, 4, 0)));
    while (!has_ended()) {
        for (int i = 0; i < ROUND && flow->next - flow->acknowledged + MSS <= flow->window; i++) {
            put32(tcp + 4, flow->next);
            put16(tcp + 16, ~fold(sum(tcp + 4, 4, constant)));
            write_frame(flow, flow->out, HEADERS + MSS);
            flow->next += MSS;
            frames++;
        }
        const int is_full = flow->next - flow->acknowledged + MSS > flow->window;
        if (is_full && !wait_for_frame(flow))
            flow->next = flow->acknowledged; /* all of it again: a frame was lost after all */
        while (read_frame(flow) >= 0)
            if (flow->flags & (RST | FIN))
                return frames;
    }
    return frames;
}

static uint64_t receive_text(struct flow *flow, double seconds, uint64_t *octets)
{
    static const unsigned char options[8] = {2, 4, MSS >> 8, MSS & 0xff, 1, 3, 3, 8};
    uint64_t frames = 0;
    double began = 0;

    flow->own_port = PORT;
    wait_for_flags(flow, SYN);
    send_segment(flow, SYN | ACK, options, sizeof options, 0);
    for (*octets = 0;;) {
        int unacknowledged = 0, found = 0;
        while (unacknowledged < ROUND && (found = read_frame(flow)) >= 0) {
            unacknowledged += found;
            frames += flow->text > 0;
            *octets += flow->text;
        }
        if (!began && *octets)
            began = now();
        if (began && now() - began >= seconds)
            return frames;
        if (unacknowledged)
            send_segment(flow, ACK, NULL, 0, 0);
        else if (!wait_for_frame(flow) && has_ended())
            return frames;
    }
}

int main(int argc, char **argv)
{
    static struct flow flow = {.mac = {2, 0, 0, 0, 0, 0x77}, .next = 1000};
    const int sends = argc == 5 && !strcmp(argv[1], "send");
    uint64_t octets = 0, frames;
    char line[16];

    if (!(sends || (argc == 6 && !strcmp(argv[1], "receive"))) || inet_pton(AF_INET, argv[3], flow.own) != 1 ||
        inet_pton(AF_INET, argv[4], flow.peer) != 1) {
        fprintf(stderr, "usage: flow send FD OWN PEER, flow receive FD OWN PEER SECONDS\n");
        return 2;
    }
    flow.fd = atoi(argv[2]);
    printf("ready\n");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        return 0;
    frames = sends ? send_text(&flow) : receive_text(&flow, atof(argv[5]), &octets);
    printf("{\"frames\": %" PRIu64 ", \"octets\": %" PRIu64 ", \"seconds\": %s}\n", frames, octets, sends ? "0" : argv[5]);
    return 0;
}
