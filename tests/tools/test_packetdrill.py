"""tools/packetdrill: the stack as packetdrill sees it, and the shared object, driven by a stand-in for packetdrill."""

import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.clock import MICROSECOND, MILLISECOND, SECOND
from stack.pkt.packets import Flow, datagrams_of, packet_of
from stack.pkt.parser import parse
from stack.pkt.settings import settings_of
from stack.pkt.syntax import Script
from stack.wire import ipv4
from tools.packetdrill import build
from tools.packetdrill.process import Process

pytestmark = pytest.mark.tools

ROOT = Path(__file__).resolve().parent.parent.parent
SETTINGS = settings_of(Script("t"))


class Peer:
    """Sends and reads packets in the notation of scripts."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.flow = Flow(8080, 40001)

    def send(self, line: str) -> None:
        (event,) = parse(f"0 {line}", "t").events
        for datagram in datagrams_of(event.action, self.flow, SETTINGS):  # type: ignore[arg-type]
            self.process.receive(datagram)

    def take(self) -> str:
        sent = self.process.take()
        assert sent is not None
        header, content = ipv4.parse(sent.octets)
        return str(packet_of(header, bytes(content), self.flow)).partition("] ")[2]


@pytest.fixture
def process() -> Process:
    return Process("tcp_config=timestamps=false")


def listening(process: Process) -> int:
    fd = process.call("socket", (..., 1, 6)).result
    assert fd == 3
    assert process.call("bind", (fd, ..., ...)).result == 0
    assert process.call("listen", (fd, 1)).result == 0
    return fd


def test_a_call_that_waits_is_told_when_it_returned(process: Process) -> None:
    fd = listening(process)
    peer, times, over = Peer(process), [], threading.Event()

    def wait() -> None:
        outcome = process.call("accept", (fd, ..., ...))
        assert over.wait(10)
        times.append((outcome.result, process.clock(), process.clock()))

    thread = threading.Thread(target=wait)
    thread.start()
    while not process._waiting:
        assert thread.is_alive()
    peer.send("< S 0:0(0) win 1000 <mss 1000>")
    assert "S. 0:0(0) ack 1" in peer.take().replace(str(peer.flow.local_isn), "0")
    began = process.clock()
    process.sleep(SECOND // 4)
    peer.send("< . 1:1(0) ack 1 win 1000")
    process.sleep(SECOND // 4)
    over.set()
    thread.join(10)
    ((result, first, second),) = times
    assert result == 4
    assert first == began + SECOND // 4  # when it returned, although time has gone on
    assert second >= began + SECOND // 2


def test_the_clock_passes_by_being_looked_at(process: Process) -> None:
    assert process.clock() + 5 * MICROSECOND == process.clock()


def test_timers_fire_while_time_passes(process: Process) -> None:
    listening(process)
    peer = Peer(process)
    peer.send("< S 0:0(0) win 1000 <mss 1000>")
    first, again = process.take(), process.take()
    assert first is not None and again is not None
    assert again.at == first.at + SECOND
    assert process.clock() >= again.at
    process.sleep(2 * SECOND - MILLISECOND)
    assert not process._sent
    process.sleep(MILLISECOND)
    assert process._sent[0].at == first.at + 3 * SECOND


def test_silence_ends_after_an_hour(process: Process) -> None:
    assert process.take() is None


def test_errors_and_what_was_read(process: Process) -> None:
    failed = process.call("read", (9, ..., 10))
    assert failed.error is not None and failed.result is None
    fd = listening(process)
    peer = Peer(process)
    peer.send("< S 0:0(0) win 1000 <mss 1000>")
    peer.take()
    peer.send("< P. 1:11(10) ack 1 win 1000")
    assert process.call("accept", (fd, ..., ...)).result == 4
    outcome = process.call("recv", (4, ..., 6, 0))
    assert outcome.result == 6 and len(outcome.data) == 6


# The shared object

STAND_IN = """
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>
struct packetdrill_interface {
    void *userdata;
%s
};
"""
FUNCTIONS = """
void free(void *); int socket(void *, int, int, int); int listen(void *, int, int);
int bind(void *, int, const struct sockaddr *, socklen_t); int connect(void *, int, const struct sockaddr *, socklen_t);
int accept(void *, int, struct sockaddr *, socklen_t *); ssize_t read(void *, int, void *, size_t);
ssize_t readv(void *, int, const struct iovec *, int); ssize_t recv(void *, int, void *, size_t, int);
ssize_t recvfrom(void *, int, void *, size_t, int, struct sockaddr *, socklen_t *);
ssize_t recvmsg(void *, int, struct msghdr *, int); ssize_t write(void *, int, const void *, size_t);
ssize_t writev(void *, int, const struct iovec *, int); ssize_t send(void *, int, const void *, size_t, int);
ssize_t sendto(void *, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
ssize_t sendmsg(void *, int, const struct msghdr *, int); int fcntl(void *, int, int, ...);
int ioctl(void *, int, unsigned long, ...); int close(void *, int); int shutdown(void *, int, int);
int getsockopt(void *, int, int, int, void *, socklen_t *); int poll(void *, struct pollfd *, nfds_t, int);
int setsockopt(void *, int, int, int, const void *, socklen_t); int netdev_send(void *, const void *, size_t);
int netdev_receive(void *, void *, size_t *, long long *); int usleep(void *, useconds_t);
int gettimeofday(void *, struct timeval *, struct timezone *);
"""
DRIVER = """
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include "packetdrill.h"
int main(int count, char **arguments)
{
    struct packetdrill_interface i;
    struct timeval before, after;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0xC0000201) };
    struct iovec vector[2] = { { "ab", 2 }, { "cd", 2 } };
    struct pollfd entry = { 0, POLLIN | POLLOUT, 0 };
    void (*init)(const char *, struct packetdrill_interface *);
    unsigned char packet[2000];
    size_t size = sizeof(packet);
    int fd, on = 1, mss = 0;
    long long at;
    socklen_t length = sizeof(mss);

    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND);
    if (library == NULL)
        return puts(dlerror()), 1;
    init = dlsym(library, "packetdrill_interface_init");
    init("tcp_config=maximum_segment_size=1234", &i);
    fd = i.socket(i.userdata, AF_INET, SOCK_STREAM, IPPROTO_TCP);
    printf("nodelay %d\\n", i.setsockopt(i.userdata, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
    printf("mss %d", i.getsockopt(i.userdata, fd, IPPROTO_TCP, TCP_MAXSEG, &mss, &length));
    printf(" %d of %d\\n", mss, (int)length);
    i.fcntl(i.userdata, fd, F_SETFL, O_RDWR | O_NONBLOCK);
    printf("flags %d\\n", i.fcntl(i.userdata, fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
    printf("connect %d", i.connect(i.userdata, fd, (struct sockaddr *)&to, sizeof(to)));
    printf(" %d\\n", errno == EINPROGRESS);
    printf("receive %d", i.netdev_receive(i.userdata, packet, &size, &at));
    printf(" version %d protocol %d\\n", packet[0] >> 4, packet[9]);
    entry.fd = fd;
    printf("poll %d %d\\n", i.poll(i.userdata, &entry, 1, 0), entry.revents);
    printf("write %d", (int)i.writev(i.userdata, fd, vector, 2));
    printf(" %d\\n", errno == EAGAIN);
    i.gettimeofday(i.userdata, &before, NULL);
    i.usleep(i.userdata, 3000000);
    i.gettimeofday(i.userdata, &after, NULL);
    printf("slept %d s\\n", (int)(after.tv_sec - before.tv_sec));
    printf("ioctl %d\\n", i.ioctl(i.userdata, fd, 0));
    printf("close %d", i.close(i.userdata, fd));
    printf(" %d\\n", i.close(i.userdata, fd));
    i.free(i.userdata);
    return 0;
}
"""


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a header like packetdrill's interface, in another order, and a program that uses it."""
    folder = tmp_path_factory.mktemp("stand-in")
    members = []
    for prototype in filter(None, map(str.strip, FUNCTIONS.replace("\n", " ").split(";"))):
        head, _, parameters = prototype.partition("(")
        kind, name = head.rsplit(maxsplit=1)
        members.append(f"    {kind} (*{name})({parameters};")
    (folder / "packetdrill.h").write_text(STAND_IN % "\n".join(members))
    (folder / "driver.c").write_text(DRIVER)
    subprocess.run(["cc", "-o", folder / "driver", folder / "driver.c", "-ldl"], check=True, cwd=folder)
    yield folder


@pytest.mark.skipif(not sysconfig.get_config_var("Py_ENABLE_SHARED"), reason="Python has no shared library")
def test_the_shared_object(stand_in: Path) -> None:
    shared = stand_in / "stack.so"
    command = [sys.executable, "-m", "tools.packetdrill.build", "--header", stand_in / "packetdrill.h"]
    subprocess.run([*command, "--output", shared], check=True, cwd=ROOT, capture_output=True, timeout=120)
    told = subprocess.run([stand_in / "driver", shared], capture_output=True, text=True, timeout=60)
    assert told.stdout.splitlines() == [
        "nodelay 0",
        "mss 0 1234 of 4",
        "flags 1",
        "connect -1 1",
        "receive 0 version 4 protocol 6",
        "poll 0 0",
        "write -1 1",
        "slept 3 s",
        "ioctl -1",
        "close 0 -1",
    ], told.stderr


def test_without_a_header_there_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--header", str(tmp_path / "none.h")]) == 1
    assert "there is no " in capsys.readouterr().err
