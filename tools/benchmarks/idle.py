"""Opens many connections and leaves them idle until its standard input ends.

python -m tools.benchmarks.idle OWN-ADDRESS ADDRESS PORT COUNT
"""

import resource
import socket
import sys
from typing import Final

IP_BIND_ADDRESS_NO_PORT: Final = 24  # not in Python's socket module before 3.12


def main(own: str, address: str, port: str, count: str) -> None:
    """Open them, say `ready`, wait."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened = []
    for _ in range(int(count)):
        opened.append(socket.socket())
        # The port is then chosen for the whole connection, and there are as many for each pair of addresses.
        opened[-1].setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        opened[-1].bind((own, 0))
        opened[-1].connect((address, int(port)))
    print("ready", flush=True)
    sys.stdin.read()
    for each in opened:
        each.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
