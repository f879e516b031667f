"""parvis/plan.py: one process or several."""

import pytest

from parvis.plan import Plan


@pytest.mark.parametrize(("gateways", "shards", "is_many"), [(1, 1, False), (2, 1, True), (1, 2, True)])
def test_more_than_one_of_either_means_processes(gateways: int, shards: int, is_many: bool) -> None:
    assert Plan(gateways, shards).is_many is is_many


def test_a_cluster_is_processes_even_with_one_of_each() -> None:
    assert Plan(1, 1, is_clustered=True).is_many
