from gateway.peer import PeerClosed


def test_a_goodbye_carries_the_code_of_the_peer() -> None:
    assert PeerClosed(1001).code == 1001
    assert "1001" in str(PeerClosed(1001))
