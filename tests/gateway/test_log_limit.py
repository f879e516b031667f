from gateway.log_limit import LogLimit


def test_one_line_passes_in_an_interval_and_the_next_says_how_many_did_not() -> None:
    limit = LogLimit(10.0)
    assert limit.admit(100.0) == 0
    assert limit.admit(100.0) is None
    assert limit.admit(109.9) is None
    assert limit.admit(110.0) == 2
    assert limit.admit(110.1) is None
    assert limit.admit(500.0) == 1


def test_the_first_line_passes_at_any_time() -> None:
    assert LogLimit(10.0).admit(0.0) == 0
