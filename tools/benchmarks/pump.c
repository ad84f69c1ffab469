/* What a TAP device itself can do: frames read or written one by one, and nothing else done.
 *
 *     pump read FD SECONDS          reads frames, from the first one on
 *     pump write FD SECONDS         writes full frames that the kernel throws away
 *     pump flood DEVICE SECONDS     has the kernel send full frames on DEVICE, for a reader on its other side
 *     pump echo FD                  answers ARP and ICMP echo requests, until its standard input ends
 *
 * FD is that of a TAP device. All but echo end with what they counted, as JSON.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    FULL = 1514,     /* octets of a full frame at MTU 1500 */
    LONGEST = 2048,  /* no frame is longer */
    ROUND = 64,      /* frames between two looks at the clock */
    PRIVATE = 0x88b5 /* EtherType: IEEE 802 local experimental, which nobody here receives */
};

static const unsigned char ADDRESS[6] = {2, 0, 0, 0, 0, 0x77};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "pump: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void make_full_frame(unsigned char *frame)
{
    memset(frame, 0, FULL);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, ADDRESS, 6);
    frame[12] = PRIVATE >> 8;
    frame[13] = PRIVATE & 0xff;
}

static void report(uint64_t frames, uint64_t octets, double seconds)
{
    printf("{\"frames\": %" PRIu64 ", \"octets\": %" PRIu64 ", \"seconds\": %.6f}\n", frames, octets, seconds);
}

static void read_frames(int fd, double seconds)
{
    unsigned char frame[LONGEST];
    uint64_t frames = 0, octets = 0;
    double began = 0, ended = 0;

    do {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        if (poll(&polled, 1, -1) < 0)
            fail("poll");
        for (ssize_t length; (length = read(fd, frame, sizeof frame)) > 0;) {
            if (length != FULL)
                continue;
            if (!frames)
                began = now();
            frames++;
            octets += (uint64_t)length;
            if (frames % ROUND == 0 && (ended = now()) - began >= seconds)
                break;
        }
    } while (ended - began < seconds);
    report(frames, octets, ended - began);
}

static void write_frames(int fd, double seconds)
{
    unsigned char frame[FULL];
    uint64_t frames = 0;
    double began = now(), ended;

    make_full_frame(frame);
    do {
        for (int i = 0; i < ROUND; i++)
            if (write(fd, frame, sizeof frame) != FULL)
                fail("write");
        frames += ROUND;
        ended = now();
    } while (ended - began < seconds);
    report(frames, frames * FULL, ended - began);
}

static void flood(const char *device, double seconds)
{
    unsigned char frame[FULL];
    struct mmsghdr messages[ROUND];
    struct iovec piece = {frame, sizeof frame};
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device)};
    int on = 1, fd = socket(AF_PACKET, SOCK_RAW, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof to) < 0)
        fail(device);
    if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) < 0)
        fail("PACKET_QDISC_BYPASS");
    make_full_frame(frame);
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < ROUND; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &piece, .msg_iovlen = 1};
    uint64_t frames = 0;
    double began = now();
    while (now() - began < seconds) {
        int sent = sendmmsg(fd, messages, ROUND, 0); /* ENOBUFS: the reader is behind, which is the point */
        frames += sent > 0 ? (uint64_t)sent : 0;
    }
    report(frames, frames * FULL, now() - began);
}

/* Makes an ARP request for anybody, or an ICMP echo request, into its answer; 0: it is neither. */
static int answer(unsigned char *frame, ssize_t length)
{
    unsigned char *packet = frame + 14, address[4];

    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, ADDRESS, 6);
    if (length >= 42 && frame[12] == 8 && frame[13] == 6 && packet[7] == 1) {
        packet[7] = 2;
        memcpy(address, packet + 24, 4); /* who is asked for */
        memcpy(packet + 18, packet + 8, 10);
        memcpy(packet + 8, ADDRESS, 6);
        memcpy(packet + 14, address, 4);
        return 1;
    }
    if (length >= 42 && frame[12] == 8 && frame[13] == 0 && packet[0] == 0x45 && packet[9] == 1 && packet[20] == 8) {
        memcpy(address, packet + 12, 4);
        memcpy(packet + 12, packet + 16, 4);
        memcpy(packet + 16, address, 4);
        packet[20] = 0;
        uint32_t sum = (uint32_t)(packet[22] << 8 | packet[23]) + 0x0800; /* RFC 1624: the type was 8 and is 0 */
        sum += sum >> 16;
        packet[22] = (unsigned char)(sum >> 8);
        packet[23] = (unsigned char)sum;
        return 1;
    }
    return 0;
}

static void echo(int fd)
{
    unsigned char frame[LONGEST];
    struct pollfd polled[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};

    while (poll(polled, 2, -1) > 0 && !polled[1].revents)
        for (ssize_t length; (length = read(fd, frame, sizeof frame)) > 0;)
            if (answer(frame, length) && write(fd, frame, (size_t)length) != length)
                fail("write");
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";

    if (argc == 4 && !strcmp(mode, "read"))
        read_frames(atoi(argv[2]), atof(argv[3]));
    else if (argc == 4 && !strcmp(mode, "write"))
        write_frames(atoi(argv[2]), atof(argv[3]));
    else if (argc == 4 && !strcmp(mode, "flood"))
        flood(argv[2], atof(argv[3]));
    else if (argc == 3 && !strcmp(mode, "echo"))
        echo(atoi(argv[2]));
    else {
        fprintf(stderr, "usage: pump read|write FD SECONDS, pump flood DEVICE SECONDS, pump echo FD\n");
        return 2;
    }
    return 0;
}
