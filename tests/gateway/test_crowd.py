"""Bounds that many connections share: by address, by user, by room; in force, in dry-run, off."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.crowd import CAP_RETRY_S, Caller, Crowd
from runtime.addresses import AddressPrefix, parse_address
from runtime.metrics import ADMISSION_LIMITS, GatewayCounters
from runtime.schema import AdmissionSettings, GatewaySettings
from wire.limits import ADMISSION_KEYS_MAX, GATEWAY_ACCEPTS_PER_S
from wire.names import AuthorId, RoomName

ADA, BOB = AuthorId("g-ada"), AuthorId("g-bob")
SQUARE, MARKET = RoomName("town/square"), RoomName("town/market")
HOME, SCHOOL = parse_address("192.0.2.7"), parse_address("2001:db8::7")


class Town:
    """A crowd under some settings; limits of addresses are in force unless a test says otherwise."""

    def __init__(self, gateway: GatewaySettings | None = None, **changes: object) -> None:
        self.counters = GatewayCounters()
        changes = {"address_limits": "on", **changes}
        self.crowd = Crowd(AdmissionSettings(**changes), gateway or GatewaySettings(), self.counters)  # type: ignore[arg-type]
        self.now = 100.0

    def arrive(self, text: str = "192.0.2.7") -> Caller | None:
        """The caller that came in; None for one who was refused."""
        caller = Caller()
        return None if self.crowd.arrive(caller, parse_address(text), self.now) else caller

    def greets(self, user: AuthorId, *sessions: str) -> list[bool]:
        return [self.crowd.greet(user, session, self.now) is None for session in sessions]

    def publishes(self, count: int, user: AuthorId = ADA, room: RoomName = SQUARE, prefix: AddressPrefix | None = None) -> int:
        return sum(self.crowd.publish(prefix, user, room, self.now) is None for _ in range(count))

    def joins(self, count: int, user: AuthorId = ADA, room: RoomName = SQUARE, prefix: AddressPrefix | None = None) -> int:
        return sum(self.crowd.join(prefix, user, room, self.now) is None for _ in range(count))


# --- connections of one address --------------------------------------------------------------------


def test_an_address_has_as_many_connections_as_it_may_and_another_has_its_own() -> None:
    town = Town(address_connections_max=2)
    first = town.arrive()
    assert first is not None
    assert town.arrive() is not None
    assert town.arrive() is None
    assert town.arrive("192.0.2.8") is not None
    town.crowd.left(first)
    assert town.arrive() is not None
    assert town.counters.admission_refused["address_connections"] == 1


def test_an_ipv6_address_is_counted_by_its_64() -> None:
    town = Town(address_connections_max=1)
    assert town.arrive("2001:db8::1") is not None
    assert town.arrive("2001:db8::ffff:2") is None
    assert town.arrive("2001:db8:0:1::1") is not None


def test_connects_of_an_address_come_at_a_rate() -> None:
    town = Town(address_connect_rate_per_s=1.0, address_connect_burst=3)
    for _ in range(3):
        caller = town.arrive()
        assert caller is not None
        town.crowd.left(caller)
    assert town.arrive() is None
    town.now += 1.0
    assert town.arrive() is not None
    assert town.counters.admission_refused["address_connect"] == 1


def test_who_was_refused_is_not_counted_and_leaves_no_trace() -> None:
    town = Town(address_connections_max=1)
    assert town.arrive() is not None
    refused = Caller()
    assert town.crowd.arrive(refused, HOME, town.now) is not None
    town.crowd.left(refused)
    assert town.arrive() is None


def test_leaving_twice_is_leaving_once() -> None:
    town = Town(address_connections_max=2)
    first, second = town.arrive(), town.arrive()
    assert first is not None
    assert second is not None
    town.crowd.left(first)
    town.crowd.left(first)
    assert town.arrive() is not None
    assert town.arrive() is None


def test_exempt_addresses_unknown_ones_and_our_proxies_are_not_counted() -> None:
    town = Town(
        address_connections_max=1, address_exempt=["192.0.2.0/24"], trusted_proxies=["10.0.0.0/8"], forwarded_for=True
    )
    for text in ("192.0.2.7", "10.0.0.1", "pair"):
        callers = [town.arrive(text) for _ in range(5)]
        assert [caller is not None and caller.prefix is None for caller in callers] == [True] * 5
    assert town.crowd.keys_held == 0


def test_by_default_loopback_is_exempt_and_addresses_are_in_dry_run() -> None:
    town = Town(address_limits=AdmissionSettings().address_limits, address_connections_max=1)
    assert [town.arrive(text) is not None for text in ["127.0.0.1", "::1"] * 3] == [True] * 6
    assert sum(count for _, count in town.counters.admission_dry_run.items()) == 0
    assert [town.arrive() is not None for _ in range(5)] == [True] * 5
    assert town.counters.admission_dry_run["address_connections"] == 4
    assert town.counters.admission_refused["address_connections"] == 0


def test_off_nothing_is_counted_of_addresses() -> None:
    town = Town(address_limits="off", address_connections_max=1)
    assert [town.arrive() is not None for _ in range(5)] == [True] * 5
    assert town.crowd.keys_held == 0


# --- connections of one user ------------------------------------------------------------------------


def test_a_user_has_as_many_sessions_as_it_may() -> None:
    town = Town(user_connections_max=2)
    assert town.greets(ADA, "s1", "s2", "s3") == [True, True, False]
    assert town.greets(BOB, "s4") == [True]
    town.crowd.depart(ADA, "s1")
    assert town.greets(ADA, "s3") == [True]
    denied = town.crowd.greet(ADA, "s5", town.now)
    assert denied is not None
    assert (denied.is_cap, denied.retry_after_s) == (True, CAP_RETRY_S)


def test_a_session_that_comes_back_finds_room_beside_its_dead_socket() -> None:
    town = Town(user_connections_max=2)
    assert town.greets(ADA, "s1", "s2", "s1", "s2") == [True] * 4


def test_one_session_does_not_make_room_for_any_number_of_sockets() -> None:
    town = Town(user_connections_max=3)
    assert town.greets(ADA, *["s1"] * 7) == [True] * 6 + [False]


def test_connects_of_a_user_come_at_a_rate() -> None:
    town = Town(user_connect_rate_per_s=0.5, user_connect_burst=2)
    for _ in range(2):
        assert town.greets(ADA, "s1") == [True]
        town.crowd.depart(ADA, "s1")
    denied = town.crowd.greet(ADA, "s1", town.now)
    assert denied is not None
    assert (denied.is_cap, denied.retry_after_s) == (False, 2.0)
    town.now += 2.0
    assert town.greets(ADA, "s1") == [True]


def test_in_dry_run_a_user_is_refused_nothing_and_everything_is_counted() -> None:
    town = Town(user_limits="dry-run", user_connections_max=1, user_rate_factor=1.0)
    assert town.greets(ADA, "s1", "s2", "s3") == [True] * 3
    assert town.publishes(30) == 30
    dry_run = town.counters.admission_dry_run
    assert (dry_run["user_connections"], dry_run["user_publish"]) == (2, 10)


# --- what they do together --------------------------------------------------------------------------


def test_a_user_with_many_connections_is_as_loud_as_with_a_few() -> None:
    gateway = GatewaySettings(publish_rate_per_s=1.0, publish_burst=5, join_rate_per_s=1.0, join_burst=3)
    town = Town(gateway, user_rate_factor=2.0)
    assert town.publishes(100) == 10
    assert town.publishes(100, BOB) == 10
    assert town.joins(100) == 6
    town.now += 1.0
    assert town.publishes(100) == 2


def test_a_room_takes_so_much_from_everybody_and_another_room_its_own() -> None:
    town = Town(room_publish_rate_per_s=1.0, room_publish_burst=10, room_join_rate_per_s=1.0, room_join_burst=4)
    assert sum(town.publishes(1, AuthorId(f"g-{number}")) for number in range(50)) == 10
    assert sum(town.joins(1, AuthorId(f"g-{number}")) for number in range(50)) == 4
    assert town.publishes(1, BOB, MARKET) == 1
    denied = town.crowd.publish(None, BOB, SQUARE, town.now)
    assert denied is not None
    assert "room" in denied.together


def test_a_network_of_many_users_takes_so_much() -> None:
    gateway = GatewaySettings(publish_rate_per_s=1.0, publish_burst=2, join_rate_per_s=1.0, join_burst=2)
    town = Town(gateway, address_rate_factor=3.0)
    caller = town.arrive()
    assert caller is not None
    users = [AuthorId(f"g-{number}") for number in range(50)]
    assert sum(town.publishes(1, user, prefix=caller.prefix) for user in users) == 6
    assert sum(town.joins(1, user, prefix=caller.prefix) for user in users) == 6
    assert sum(town.publishes(1, user) for user in users) == 50


def test_a_request_that_one_limit_refuses_costs_the_others_nothing() -> None:
    town = Town(GatewaySettings(publish_burst=20), user_rate_factor=1.0, room_publish_burst=30)
    assert town.publishes(1000, ADA) == 20
    assert town.publishes(1000, BOB) == 10


def test_off_nobody_is_held_to_a_rate() -> None:
    town = Town(user_limits="off", address_limits="off", user_connections_max=1, room_publish_burst=1)
    assert town.greets(ADA, "s1", "s2") == [True, True]
    assert (town.publishes(1000), town.joins(1000)) == (1000, 1000)


# --- what is kept -----------------------------------------------------------------------------------


def test_when_all_have_left_and_all_buckets_are_full_nothing_is_kept() -> None:
    town = Town()
    callers = [town.arrive(f"192.0.2.{number}") for number in range(1, 100)]
    assert town.greets(ADA, "s1") == [True]
    town.publishes(10)
    town.joins(10)
    assert town.crowd.keys_held > 200
    for caller in callers:
        assert caller is not None
        town.crowd.left(caller)
    town.crowd.depart(ADA, "s1")
    for _ in range(120):
        town.now += 1.0
        town.crowd.tick(town.now)
    assert town.crowd.keys_held == 0
    assert town.counters.admission_keys is not None
    assert town.counters.admission_keys() == 0


def test_a_flood_of_addresses_at_full_speed_is_remembered_whole() -> None:
    defaults = AdmissionSettings()
    quiet_s = defaults.address_connect_burst / defaults.address_connect_rate_per_s
    assert 2 * quiet_s * GATEWAY_ACCEPTS_PER_S <= ADMISSION_KEYS_MAX


def test_every_limit_has_its_figure() -> None:
    town = Town(
        GatewaySettings(publish_burst=1, join_burst=1),
        address_connections_max=1, address_connect_burst=1, address_rate_factor=1.0,
        user_connections_max=1, user_connect_burst=1, user_rate_factor=1.0, room_publish_burst=1, room_join_burst=1,
    )  # fmt: skip
    caller = town.arrive()
    assert caller is not None
    assert town.arrive() is None
    town.crowd.left(caller)
    assert town.arrive() is None
    assert town.greets(ADA, "s1", "s2") == [True, False]
    town.crowd.depart(ADA, "s1")
    assert town.greets(ADA, "s1") == [False]
    prefix = AddressPrefix(b"home")
    for ask in (town.publishes, town.joins):
        assert ask(1, ADA, SQUARE, prefix) == 1
        assert ask(1, ADA, MARKET) == 0
        assert ask(1, BOB, SQUARE) == 0
        assert ask(1, BOB, MARKET, prefix) == 0
    refused = dict(town.counters.admission_refused.items())
    assert refused == dict.fromkeys(ADMISSION_LIMITS, 1)


callers = st.sampled_from(["192.0.2.7", "192.0.2.8", "2001:db8::7"])


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), callers, st.floats(0, 1)), max_size=100))
def test_counts_are_of_those_who_are_in_whatever_they_do(deeds: list[tuple[bool, str, float]]) -> None:
    town = Town(address_connections_max=5, address_connect_burst=10, address_connect_rate_per_s=5.0)
    inside: dict[str, list[Caller]] = {}
    for comes, text, wait in deeds:
        town.now += wait
        there = inside.setdefault(text, [])
        if comes:
            caller = town.arrive(text)
            if caller is not None:
                there.append(caller)
            assert len(there) <= 5
        elif there:
            town.crowd.left(there.pop())
    for there in inside.values():
        for caller in there:
            town.crowd.left(caller)
    for _ in range(10):
        town.now += 1.0
        town.crowd.tick(town.now)
    assert town.crowd.keys_held == 0
