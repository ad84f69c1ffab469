"""Every limit and time-out of the HTTP server, in one frozen value."""

from dataclasses import dataclass

from stack.clock import SECOND, Duration


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Sizes in octets, durations in nanoseconds. What a client can make the server keep or do is bounded by these."""

    port: int = 80
    wall_clock_offset: Duration = 0
    """Nanoseconds since 1970 at the host's instant 0: what turns `now` into a date."""

    max_connections: int = 60_000  # beyond them: 503; an idle one holds 3 KiB
    max_refusals: int = 256  # connections being told 503 at one time; beyond them: reset
    retry_after: int = 5  # seconds, told with 503
    max_request_line: int = 8192  # RFC 9112 section 3 recommends to support at least 8000
    max_header_section: int = 32768
    max_fields: int = 100
    max_body: int = 1 << 20
    max_chunk_line: int = 256  # a chunk's size with its extensions
    max_chunk_extensions: int = 16384  # of one request's body in all
    max_trailers: int = 8192
    max_held: int = 256 << 20  # of all connections: requests that are incomplete, responses that TCP has no room for
    held_unasked: int = 4096  # so much of it a connection may hold even then

    header_timeout: Duration = 10 * SECOND  # from a request's first octet to the end of its header section
    body_timeout: Duration = 10 * SECOND  # and one second more for every `minimum_body_rate` octets that have arrived
    minimum_body_rate: int = 1024
    keep_alive_timeout: Duration = 75 * SECOND  # nothing asked
    send_timeout: Duration = 30 * SECOND  # no octet of an answer acknowledged
    linger_timeout: Duration = 5 * SECOND  # how long to wait for the client's FIN after ours (RFC 9112 9.6)
    linger_octets: int = 16 << 20  # and how much to read meanwhile, and throw away
