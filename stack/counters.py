"""What a host counts, by the names of Linux's nstat (after the MIBs of RFC 4022, 4113 and 4293) where one exists.

A dropped packet is counted under exactly one reason. The table below is the whole list: counting under a name that
is not in it is a KeyError, which the tests find.
"""

from typing import Final

COUNTERS: Final[dict[str, str]] = {
    # Link
    "EthInFrames": "frames received",
    "EthInMalformed": "frames too short or with a malformed header",
    "EthInNotForUs": "frames to another station's address",
    "EthInUnknownType": "frames of an EtherType that nobody here speaks",
    "EthInVlanTagged": "802.1Q tagged frames, which this host is not a member of",
    "EthInOversized": "frames larger than the receive ring takes",
    "EthOutFrames": "frames sent",
    "EthOutRingFull": "frames dropped because the transmit ring was full",
    "ArpInRequests": "ARP requests received",
    "ArpInReplies": "ARP replies received",
    "ArpInMalformed": "ARP packets malformed, or of other hardware or protocol",
    "ArpInInvalidSender": "ARP packets whose sender address no host can have",
    "ArpInUnsolicited": "ARP packets that nobody here had a use for",
    "ArpInConflicts": "ARP packets of another host that uses our address (RFC 5227)",
    "ArpOutRequests": "ARP requests sent",
    "ArpOutReplies": "ARP replies sent",
    "ArpOutProbes": "ARP probes sent (RFC 5227)",
    "ArpOutAnnouncements": "ARP announcements sent (RFC 5227)",
    "ArpQueueDrops": "packets dropped from a neighbour's full queue",
    "ArpResolutionFailures": "neighbours that did not answer",
    "ArpTableFull": "neighbours evicted from the full table",
    # IPv4
    "IpInReceives": "datagrams received",
    "IpInHdrErrors": "datagrams with a malformed header",
    "IpInCsumErrors": "datagrams with a wrong header checksum",
    "IpInAddrErrors": "datagrams not for an address of ours",
    "IpInMartians": "datagrams whose source address no host can have",
    "IpInTruncatedPkts": "datagrams longer than the frame that carried them",
    "IpInUnknownProtos": "datagrams of a protocol that nobody here speaks",
    "IpInSourceRouted": "source-routed datagrams, which are refused",
    "IpInDelivers": "datagrams delivered to a protocol",
    "IpOutRequests": "datagrams that local protocols asked to send",
    "IpOutNoRoutes": "datagrams without a route",
    "IpOutDiscards": "datagrams dropped on the way out for lack of room",
    "IpReasmReqds": "fragments received",
    "IpReasmOKs": "datagrams reassembled",
    "IpReasmFails": "datagrams whose reassembly failed",
    "IpReasmTimeout": "datagrams whose reassembly timed out",
    "IpReasmOverlaps": "datagrams dropped because their fragments overlap",
    "IpReasmNoMemory": "datagrams evicted by the bound on reassembly memory",
    "IpFragOKs": "datagrams fragmented",
    "IpFragFails": "datagrams that needed fragmenting and had DF set",
    "IpFragCreates": "fragments created",
    # ICMP
    "IcmpInMsgs": "messages received",
    "IcmpInErrors": "messages malformed",
    "IcmpInCsumErrors": "messages with a wrong checksum",
    "IcmpInUnknownType": "messages of a type that is silently discarded (RFC 1122 3.2.2)",
    "IcmpInEchos": "echo requests received",
    "IcmpInEchoReps": "echo replies received",
    "IcmpInDestUnreachs": "destination unreachable received",
    "IcmpInTimeExcds": "time exceeded received",
    "IcmpInParmProbs": "parameter problem received",
    "IcmpInRedirects": "redirects received (and ignored)",
    "IcmpInQuoteUnmatched": "errors whose quoted datagram is none that we sent",
    "IcmpOutMsgs": "messages sent",
    "IcmpOutEchos": "echo requests sent",
    "IcmpOutEchoReps": "echo replies sent",
    "IcmpOutDestUnreachs": "destination unreachable sent",
    "IcmpOutTimeExcds": "time exceeded sent",
    "IcmpOutParmProbs": "parameter problem sent",
    "IcmpOutRateLimited": "errors not sent because of the rate limit",
    "IcmpOutSuppressed": "errors that RFC 1122 3.2.2 forbids to send",
    # UDP
    "UdpInDatagrams": "datagrams delivered",
    "UdpNoPorts": "datagrams to a port that nobody listens on",
    "UdpInErrors": "datagrams malformed",
    "UdpInCsumErrors": "datagrams with a wrong checksum",
    "UdpRcvbufErrors": "datagrams dropped because the receive queue was full",
    "UdpOutDatagrams": "datagrams sent",
    # TCP
    "TcpActiveOpens": "connections opened from here",
    "TcpPassiveOpens": "connections opened to a listener",
    "TcpAttemptFails": "connections that failed before they were established",
    "TcpEstabResets": "connections reset in ESTABLISHED or CLOSE-WAIT",
    "TcpInSegs": "segments received, in error included",
    "TcpInErrs": "segments malformed",
    "TcpInCsumErrors": "segments with a wrong checksum",
    "TcpOutSegs": "segments sent, retransmissions not included",
    "TcpRetransSegs": "segments retransmitted",
    "TcpOutRsts": "resets sent",
    "TcpInRsts": "resets that were acceptable",
    "TcpNoConnection": "segments for which no connection or listener exists",
    "TcpListenOverflows": "connection requests dropped because a backlog was full",
    "TcpTimeouts": "retransmission timeouts",
    "TcpFastRetransmits": "fast retransmits",
    "TcpLossProbes": "tail loss probes sent (RFC 8985 7)",
    "TcpSackDiscards": "SACK blocks of what was never sent",
    "TcpDsacksIn": "duplicate SACK blocks received (RFC 2883)",
    "TcpDelayedAcks": "delayed acknowledgments sent",
    "TcpChallengeAcks": "challenge ACKs sent (RFC 5961)",
    "TcpChallengeAcksLimited": "challenge ACKs not sent because of the rate limit",
    "TcpPawsDrops": "segments dropped by PAWS (RFC 7323)",
    "TcpUnacceptable": "segments outside of the receive window",
    "TcpUnacceptableAck": "segments whose acknowledgment is outside of the permitted range",
    "TcpNoAckBit": "segments without ACK in a synchronized state",
    "TcpOutOfOrder": "segments queued out of order",
    "TcpOutOfOrderDrops": "out-of-order segments dropped by the bound on holes",
    "TcpRcvPruned": "octets dropped because they lie beyond the receive window",
    "TcpDataAfterClose": "segments with data after the application closed",
    "TcpZeroWindowProbes": "zero-window probes sent",
    "TcpKeepAliveProbes": "keep-alive probes sent",
    "TcpKeepAliveTimeouts": "connections ended because keep-alive probes went unanswered",
    "TcpUserTimeouts": "connections ended because data went unacknowledged for too long",
    "TcpOrphansAborted": "closed connections ended because the peer did not finish in time",
    "TcpTimeWaitRecycled": "TIME-WAIT connections replaced by a new SYN (RFC 6191)",
    "TcpTimeWaitOverflows": "TIME-WAIT connections dropped by the bound on their number",
    "TcpIcmpAborts": "connections refused by an ICMP error",
    "TcpPmtuReductions": "reductions of a path MTU",
}


class Counters(dict[str, int]):
    """The counters of one host, all present and zero at the start."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(COUNTERS, 0))

    def nonzero(self) -> dict[str, int]:
        """Those that have counted something."""
        return {name: count for name, count in self.items() if count}
