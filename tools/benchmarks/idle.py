"""Opens many connections and leaves them idle until its standard input ends.

python -m tools.benchmarks.idle ADDRESS PORT COUNT
"""

import resource
import socket
import sys


def main(address: str, port: str, count: str) -> None:
    """Open them, say `ready`, wait."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened = [socket.create_connection((address, int(port))) for _ in range(int(count))]
    print("ready", flush=True)
    sys.stdin.read()
    for each in opened:
        each.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
