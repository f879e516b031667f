"""What each worker is told of a run."""

from loadtest.master.orders import Orders, RunPlan

PLAN = RunPlan(3, True, None, 1.0, 5.0)


def test_a_worker_gets_its_share_of_the_rate_and_of_the_addresses() -> None:
    ips = tuple(f"127.0.0.{n}" for n in range(2, 9))
    orders = Orders(plan=PLAN, scenario="x", hosts=("ws://h",), seed=4, source_ips=ips, connects_per_s_max=900)
    prepared = [orders.prepare("run", index) for index in range(3)]
    assert sorted(ip for each in prepared for ip in each.source_ips) == sorted(ips)
    assert [each.connects_per_s_max for each in prepared] == [300.0] * 3
    assert {(each.run, each.seed, tuple(each.hosts)) for each in prepared} == {("run", 4, ("ws://h",))}


def test_with_fewer_addresses_than_workers_some_share_one() -> None:
    orders = Orders(plan=PLAN, scenario="x", hosts=("ws://h",), seed=4, source_ips=("127.0.0.2", "127.0.0.3"))
    assert [orders.prepare("run", index).source_ips for index in range(4)] == [
        ["127.0.0.2"], ["127.0.0.3"], ["127.0.0.2", "127.0.0.3"], ["127.0.0.2"],
    ]  # fmt: skip
