"""tools/hostile measures what it says it measures."""

import pytest

from tools import hostile

pytestmark = pytest.mark.tools


@pytest.mark.parametrize("name", hostile.ATTACKS)
def test_every_attack_arrives(name: str) -> None:
    """As the frames that it is made of, of which the host refuses none as malformed."""
    victim, frames = hostile.ATTACKS[name](1000)
    before = victim.host.counters["EthInFrames"]
    victim.take(list(frames))
    counters = victim.host.counters
    assert counters["EthInFrames"] == before + 1000
    assert not [
        each for each, count in counters.nonzero().items() if count and each.endswith(("Errs", "Errors", "Malformed"))
    ]


@pytest.mark.parametrize(
    ("name", "counter"),
    [
        ("SYN, the SYN queue has room", "TcpPassiveOpens"),
        ("SYN, answered with a cookie", "TcpExtSyncookiesSent"),
        ("ACK with a forged cookie, answered with a reset", "TcpExtSyncookiesFailed"),
        ("ACK to nobody, answered with a reset", "TcpNoConnection"),
        ("reset in the window", "TcpExtTCPACKSkippedChallenge"),
        ("fragment of 8 octets", "IpReasmReqds"),
    ],
)
def test_an_attack_is_what_its_name_says(name: str, counter: str) -> None:
    victim, frames = hostile.ATTACKS[name](1000)
    victim.take(list(frames))
    assert victim.host.counters[counter] >= 980


def test_octets_with_gaps_are_kept_out_of_order() -> None:
    for name in ("one octet, out of order", "one octet, out of order, from behind"):
        victim, frames = hostile.ATTACKS[name](1000)
        victim.take(list(frames))
        assert victim.host.counters["TcpExtTCPOFOQueue"] == 1000


def test_it_prints_a_figure_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert hostile.main(["--frames", "1000"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in hostile.ATTACKS) and "a half-open connection" in printed
