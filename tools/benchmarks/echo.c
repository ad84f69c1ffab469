/* Answers ARP and ICMP echo requests on a TAP device, and does nothing else, until its standard input ends.
 *
 *     echo FD
 *
 * FD is that of a TAP device. */

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST = 2048 }; /* octets; no frame is longer */

static const unsigned char ADDRESS[6] = {2, 0, 0, 0, 0, 0x77};

static void fail(const char *what)
{
    fprintf(stderr, "echo: %s: %s\n", what, strerror(errno));
    exit(1);
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
    if (argc != 2) {
        fprintf(stderr, "usage: echo FD\n");
        return 2;
    }
    echo(atoi(argv[1]));
    return 0;
}
