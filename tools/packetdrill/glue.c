/* What packetdrill calls, in terms of the functions that embedded.py exports. Addresses are IPv4 in host order; every
 * way to read or to write is one function over a vector. */

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include PACKETDRILL_H

#include "exports.h"

/* Python's own extension modules look for its symbols among the global ones, where RTLD_LOCAL does not put them. */
__attribute__((constructor)) static void make_python_global(void)
{
    dlopen(TAPSTACK_LIBPYTHON, RTLD_NOW | RTLD_GLOBAL);
}

static int read_address(const struct sockaddr *address, socklen_t length, uint32_t *ip, uint16_t *port)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)address;

    if (address == NULL || length < sizeof(*in) || in->sin_family != AF_INET) {
        errno = address == NULL ? EFAULT : EAFNOSUPPORT;
        return -1;
    }
    *ip = ntohl(in->sin_addr.s_addr);
    *port = ntohs(in->sin_port);
    return 0;
}

static void write_address(struct sockaddr *address, socklen_t *length, uint32_t ip, uint16_t port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip) };

    if (address == NULL || length == NULL)
        return;
    memcpy(address, &in, *length < sizeof(in) ? *length : sizeof(in));
    *length = sizeof(in);
}

static int glue_socket(void *u, int domain, int type, int protocol)
{
    return tapstack_socket(domain, type, protocol);
}

static int glue_bind(void *u, int fd, const struct sockaddr *address, socklen_t length)
{
    uint32_t ip;
    uint16_t port;

    return read_address(address, length, &ip, &port) ? -1 : tapstack_bind(fd, ip, port);
}

static int glue_connect(void *u, int fd, const struct sockaddr *address, socklen_t length)
{
    uint32_t ip;
    uint16_t port;

    return read_address(address, length, &ip, &port) ? -1 : tapstack_connect(fd, ip, port);
}

static int glue_listen(void *u, int fd, int backlog)
{
    return tapstack_listen(fd, backlog);
}

static int glue_accept(void *u, int fd, struct sockaddr *address, socklen_t *length)
{
    uint32_t ip = 0;
    uint16_t port = 0;
    int result = tapstack_accept(fd, &ip, &port);

    if (result >= 0)
        write_address(address, length, ip, port);
    return result;
}

static ssize_t glue_readv(void *u, int fd, const struct iovec *vector, int count)
{
    return tapstack_receive(fd, vector, count, 0);
}

static ssize_t glue_recvfrom(void *u, int fd, void *data, size_t size, int flags, struct sockaddr *address,
                             socklen_t *length)
{
    struct iovec vector = { data, size };

    return tapstack_receive(fd, &vector, 1, flags);
}

static ssize_t glue_recv(void *u, int fd, void *data, size_t size, int flags)
{
    return glue_recvfrom(u, fd, data, size, flags, NULL, NULL);
}

static ssize_t glue_read(void *u, int fd, void *data, size_t size)
{
    return glue_recv(u, fd, data, size, 0);
}

static ssize_t glue_recvmsg(void *u, int fd, struct msghdr *message, int flags)
{
    message->msg_flags = 0;
    return tapstack_receive(fd, message->msg_iov, message->msg_iovlen, flags);
}

static ssize_t send_to(int fd, const struct iovec *vector, int count, int flags, const struct sockaddr *address,
                       socklen_t length)
{
    uint32_t ip = 0;
    uint16_t port = 0;

    if (address != NULL && read_address(address, length, &ip, &port))
        return -1;
    return tapstack_send(fd, vector, count, flags, address != NULL, ip, port);
}

static ssize_t glue_writev(void *u, int fd, const struct iovec *vector, int count)
{
    return send_to(fd, vector, count, 0, NULL, 0);
}

static ssize_t glue_sendto(void *u, int fd, const void *data, size_t size, int flags, const struct sockaddr *address,
                           socklen_t length)
{
    struct iovec vector = { (void *)data, size };

    return send_to(fd, &vector, 1, flags, address, length);
}

static ssize_t glue_send(void *u, int fd, const void *data, size_t size, int flags)
{
    return glue_sendto(u, fd, data, size, flags, NULL, 0);
}

static ssize_t glue_write(void *u, int fd, const void *data, size_t size)
{
    return glue_send(u, fd, data, size, 0);
}

static ssize_t glue_sendmsg(void *u, int fd, const struct msghdr *message, int flags)
{
    return send_to(fd, message->msg_iov, message->msg_iovlen, flags, message->msg_name, message->msg_namelen);
}

static int glue_fcntl(void *u, int fd, int command, ...)
{
    va_list rest;
    int result;

    va_start(rest, command);
    result = tapstack_fcntl(fd, command, va_arg(rest, long));
    va_end(rest);
    return result;
}

static int glue_ioctl(void *u, int fd, unsigned long request, ...)
{
    errno = ENOTTY;
    return -1;
}

static int glue_close(void *u, int fd)
{
    return tapstack_close(fd);
}

static int glue_shutdown(void *u, int fd, int how)
{
    return tapstack_shutdown(fd, how);
}

static int glue_getsockopt(void *u, int fd, int level, int option, void *value, socklen_t *length)
{
    return tapstack_getsockopt(fd, level, option, value, length);
}

static int glue_setsockopt(void *u, int fd, int level, int option, const void *value, socklen_t length)
{
    return tapstack_setsockopt(fd, level, option, value, length);
}

static int glue_poll(void *u, struct pollfd *entries, nfds_t count, int timeout)
{
    return tapstack_poll(entries, count, timeout);
}

static int glue_netdev_send(void *u, const void *packet, size_t size)
{
    return tapstack_netdev_send(packet, size);
}

static int glue_netdev_receive(void *u, void *packet, size_t *size, long long *time_usecs)
{
    return tapstack_netdev_receive(packet, size, time_usecs);
}

static int glue_usleep(void *u, useconds_t usec)
{
    return tapstack_usleep(usec);
}

static int glue_gettimeofday(void *u, struct timeval *now, struct timezone *zone)
{
    long long usec = tapstack_clock();

    now->tv_sec = usec / 1000000;
    now->tv_usec = usec % 1000000;
    return usec < 0 ? -1 : 0;
}

static void glue_free(void *u)
{
}

void packetdrill_interface_init(const char *flags, struct packetdrill_interface *interface)
{
    memset(interface, 0, sizeof(*interface));
    interface->free = glue_free;
    interface->socket = glue_socket;
    interface->bind = glue_bind;
    interface->listen = glue_listen;
    interface->accept = glue_accept;
    interface->connect = glue_connect;
    interface->read = glue_read;
    interface->readv = glue_readv;
    interface->recv = glue_recv;
    interface->recvfrom = glue_recvfrom;
    interface->recvmsg = glue_recvmsg;
    interface->write = glue_write;
    interface->writev = glue_writev;
    interface->send = glue_send;
    interface->sendto = glue_sendto;
    interface->sendmsg = glue_sendmsg;
    interface->fcntl = glue_fcntl;
    interface->ioctl = glue_ioctl;
    interface->close = glue_close;
    interface->shutdown = glue_shutdown;
    interface->getsockopt = glue_getsockopt;
    interface->setsockopt = glue_setsockopt;
    interface->poll = glue_poll;
    interface->netdev_send = glue_netdev_send;
    interface->netdev_receive = glue_netdev_receive;
    interface->usleep = glue_usleep;
    interface->gettimeofday = glue_gettimeofday;
    tapstack_start(flags);
}
