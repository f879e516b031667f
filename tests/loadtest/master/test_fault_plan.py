"""Faults on demand, as a person writes them."""

import pytest

from loadtest.master.fault_plan import ClientFault, Fault, ServerFault, parse_fault, parse_faults


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("30s kill shard", ServerFault(30, "kill", "shard")),
        ("0 kill store", ServerFault(0, "kill", "store")),
        ("40s  restart gateway-2", ServerFault(40, "restart", "gateway-2")),
        ("1m freeze gateway 3s", ServerFault(60, "freeze", "gateway", 3)),
        ("60s slow-readers 100 10s", ClientFault(60, "slow-readers", 100, 10)),
        ("70s half-open 50", ClientFault(70, "half-open", 50)),
        ("70s half-open 50 5s", ClientFault(70, "half-open", 50, 5)),
        ("80s malformed 20", ClientFault(80, "malformed", 20)),
    ],
)
def test_a_line_means_one_fault(line: str, fault: Fault) -> None:
    assert parse_fault(line) == fault
    assert parse_fault(f"{fault.at_s} {fault.text}") == fault


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "needs a time and what to do"),
        ("30s", "needs a time and what to do"),
        ("kill shard 30s", "'kill' is not a span of time"),
        ("30s explode shard", "explode is none; there are kill, restart, freeze, slow-readers, half-open, malformed, offline"),
        ("30s kill", "kill is followed by one role"),
        ("30s kill shard 3s", "kill is followed by one role"),
        ("30s kill postgres", "postgres is no role: there are shard, gateway, store"),
        ("30s kill shard-", "shard- is no role"),
        ("30s kill shard-one", "shard-one is no role"),
        ("30s freeze gateway", "a role and how long"),
        ("30s freeze gateway soon", "'soon' is not a span of time"),
        ("30s freeze gateway 0s", "a freeze of no time is none"),
        ("30s slow-readers 100", "a number of clients and how long"),
        ("30s slow-readers many 3s", "a number of clients and how long"),
        ("30s half-open", "a number of clients and, if it is to end, how long"),
        ("30s malformed 20 3s", 'a number of clients, as in "60s malformed 100"'),
        ("30s malformed 0", "can befall 1 to 100000 clients"),
    ],
)
def test_anything_else_gets_a_sentence_that_names_the_line(line: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="the fault") as refused:
        parse_fault(line)
    assert f'"{line}"' in str(refused.value)
    assert sentence in str(refused.value)


def test_faults_come_in_the_order_of_their_time() -> None:
    assert [fault.at_s for fault in parse_faults(["30s kill shard", "5s malformed 1", "10s kill gateway"])] == [5, 10, 30]
