"""parvis/banner.py: what a person reads first."""

from parvis.banner import Started, banner

STARTED = Started("0.1.0", "http://127.0.0.1:8000/", ["ws://127.0.0.1:8001/"], 1, "/srv/data", "http://127.0.0.1:9/", "parvis")


def test_it_says_where_to_go_what_to_type_and_where_the_data_is() -> None:
    text = banner(STARTED)
    assert "parvis 0.1.0 is up (one process)" in text
    assert "Open        http://127.0.0.1:8000/" in text
    assert "or type     parvis chat square/main\n" in text
    assert "/srv/data" in text
    assert "http://127.0.0.1:9/metrics" in text


def test_the_command_names_the_gateway_when_it_is_not_the_usual_one() -> None:
    text = banner(Started("1", "p", ["ws://127.0.0.1:9001/", "ws://127.0.0.1:9002/"], 3, "d", "a", ".venv/bin/parvis"))
    assert ".venv/bin/parvis chat square/main --url ws://127.0.0.1:9001/\n" in text
    assert "(2 gateways, 3 shards)" in text


def test_a_cluster_says_where_its_journal_is() -> None:
    redis = "redis://10.0.0.5:6379/0"
    text = banner(Started("1", "p", ["ws://127.0.0.1:8001/"], 2, "d", "a", "parvis", redis, redis))
    assert f"Journal     {redis}\n" in text
    assert f"Cluster     parvis cluster status --redis {redis}\n" in text
    assert "Journal" not in banner(STARTED)
