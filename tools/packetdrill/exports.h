/* What embedded.py exports to glue.c; cffi reads it as it stands. */
void tapstack_start(const char *flags);
int tapstack_socket(int domain, int type, int protocol);
int tapstack_bind(int fd, uint32_t ip, uint16_t port);
int tapstack_listen(int fd, int backlog);
int tapstack_accept(int fd, uint32_t *ip, uint16_t *port);
int tapstack_connect(int fd, uint32_t ip, uint16_t port);
ssize_t tapstack_receive(int fd, const struct iovec *vector, int count, int flags);
ssize_t tapstack_send(int fd, const struct iovec *vector, int count, int flags, int has_address, uint32_t ip,
                      uint16_t port);
int tapstack_fcntl(int fd, int command, long argument);
int tapstack_close(int fd);
int tapstack_shutdown(int fd, int how);
int tapstack_getsockopt(int fd, int level, int option, void *value, uint32_t *length);
int tapstack_setsockopt(int fd, int level, int option, const void *value, uint32_t length);
int tapstack_poll(struct pollfd *entries, unsigned long count, int timeout);
int tapstack_netdev_send(const void *packet, size_t size);
int tapstack_netdev_receive(void *packet, size_t *size, long long *time_usecs);
int tapstack_usleep(uint32_t usec);
long long tapstack_clock(void);
