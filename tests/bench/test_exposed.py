"""Quantiles out of /metrics."""

import math

import pytest

from bench.exposed import histogram_buckets, quantile_between

TEXT = """\
# TYPE parvis_commit_seconds histogram
parvis_commit_seconds_bucket{node="shard-1",le="0.001"} 10
parvis_commit_seconds_bucket{node="shard-1",le="0.01"} 90.0
parvis_commit_seconds_bucket{node="shard-1",le="+Inf"} 100
parvis_commit_seconds_bucket{node="shard-2",le="0.001"} 0
parvis_commit_seconds_bucket{node="shard-2",le="0.01"} 100
parvis_commit_seconds_bucket{node="shard-2",le="+Inf"} 100
parvis_commit_seconds_count{node="shard-1"} 100
"""
BUCKETS = {0.001: 10.0, 0.01: 190.0, math.inf: 200.0}


def test_buckets_are_summed_over_nodes() -> None:
    assert histogram_buckets(TEXT, "parvis_commit_seconds") == BUCKETS
    assert histogram_buckets(TEXT, "parvis_other_seconds") == {}


def test_a_quantile_is_interpolated_in_its_bucket() -> None:
    assert quantile_between({}, BUCKETS, 0.5) == pytest.approx(0.001 + 0.009 * (100 - 10) / 180)


def test_only_what_was_observed_in_between_counts() -> None:
    assert quantile_between({0.001: 10.0, 0.01: 10.0, math.inf: 10.0}, BUCKETS, 0.1) == pytest.approx(0.001 + 0.009 * 19 / 180)


def test_beyond_the_last_bound_the_last_bound_is_the_answer() -> None:
    assert quantile_between({}, BUCKETS, 0.99) == 0.01


def test_nothing_observed_is_no_number() -> None:
    assert math.isnan(quantile_between(BUCKETS, BUCKETS, 0.99))
    assert math.isnan(quantile_between({}, {}, 0.99))
