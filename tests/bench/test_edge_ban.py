"""bench/edge_ban.py: it measures what it says, over real processes, and judges all three of its figures."""

from pathlib import Path

import msgspec
import pytest

from bench.edge_ban import Bans, measure_bans


def test_a_ban_reaches_every_gateway_and_nobody_else(tmp_path: Path) -> None:
    bans = measure_bans(tmp_path, gateways=2, bans=3)
    assert (bans.gateways, bans.bans, bans.let_in_again, bans.bystanders_lost) == (2, 3, 0, 0)
    # No time is asserted: the machine may be busy.  What can be said is that it was measured.
    assert 0 < bans.p50_ms <= bans.max_ms


@pytest.mark.parametrize("change", [{"max_ms": 1000.0}, {"let_in_again": 1}, {"bystanders_lost": 1}])
def test_each_figure_is_judged(change: dict[str, float]) -> None:
    good = Bans(gateways=3, bans=20, p50_ms=5.0, max_ms=999.0, let_in_again=0, bystanders_lost=0)
    assert good.held
    assert not msgspec.structs.replace(good, **change).held
