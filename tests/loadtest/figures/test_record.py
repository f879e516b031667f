"""A run as a document."""

import msgspec

from loadtest.figures.record import RECORD_VERSION, Mark, Moment, Percentiles, RunRecord, Verdict, WorkerProbe


def test_a_record_is_the_same_after_being_json() -> None:
    moment = Moment(
        1.0, 5, 5, {"Citizen": 5}, 5, {"gateway-1": 5}, {"publishes": 2.0}, {"deliver": Percentiles(10, 1.0, 2.0, 3.0, 4.0, 5.0)},
        0, [], [WorkerProbe("worker-1", 5, 0.1, 1, 0.5, "running")],
        [Mark(0.5, "fault", "freeze gateway: gateway-1 for 3 s", 3.0)],
    )  # fmt: skip
    record = RunRecord(
        RECORD_VERSION, "election_night", "2026-04-12T20:00:00Z", 1.0, ["parvis", "loadtest"], ["ws://127.0.0.1:8001"], {}, 7,
        [moment], [], {"publishes": 2}, {}, [], [], Verdict("PASS", 0, []), 0.0,
    )  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(record), type=RunRecord) == record
    assert [mark.text for mark in record.marks] == ["freeze gateway: gateway-1 for 3 s"]
