"""Other people's tests on our event loop: CPython's of asyncio, and aiohttp's own.

Theory. Such tests know one machine, 127.0.0.1, and one loop, asyncio's. Here they run in a network namespace with a TAP
device, whose two ends are both 127.0.0.1 to them:

    10.77.0.2, the stack    what a test writes as 127.0.0.1 (in a copy of its source) or calls localhost, so whatever
                            it has the loop listen on or bind; a loop that connects there talks to itself
    10.77.0.1, the kernel   where the sockets listen that a test makes itself, in threads of its own, say

So each connection has one of our ends at least. Nothing of the tests is kept in this tree: CPython's come with the
Python that runs them, aiohttp's with its source distribution. What a suite is run for, which of its cases are about
something else, and which fail and why, is in the suite's TOML file; the runner fails when that is not what happens.
"""
