"""The stack for code that blocks: sockets of its own, and the standard library's, which patch() has go to the stack.

with stack.sockets.Net.attached(address="10.77.0.2/24") as net:       a TAP device, and a thread that drives it
    with net.create_connection(("10.77.0.1", 8000)) as connection:    as in the socket module
        connection.sendall(...)
    with stack.sockets.patch(net):                                    what knows nothing of the stack
        requests.get("http://10.77.0.1:8000/")
"""

from stack.sockets.net import Net
from stack.sockets.patching import patch
from stack.sockets.socket import Socket

__all__ = ["Net", "Socket", "patch"]
