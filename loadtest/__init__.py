"""The load test: people who read and speak, as many as asked for, and honest figures of what reached them.

What a scenario imports is here; names that locust has mean what they mean there.
"""

from loadtest.people.hooks import events
from loadtest.people.scenario import Option
from loadtest.people.shapes import Load, LoadTestShape, Steady
from loadtest.people.tasks import (
    RescheduleTask,
    RescheduleTaskImmediately,
    SequentialTaskSet,
    StopUser,
    TaskSet,
    tag,
    task,
)
from loadtest.people.users import Reader, User
from loadtest.people.waits import between, constant, constant_pacing, constant_throughput, poisson
from loadtest.workers.arrivals import per_minute, per_second

__all__ = [
    "Load", "LoadTestShape", "Option", "Reader", "RescheduleTask", "RescheduleTaskImmediately", "SequentialTaskSet", "Steady",
    "StopUser", "TaskSet", "User", "between", "constant", "constant_pacing", "constant_throughput", "events", "per_minute",
    "per_second", "poisson", "tag", "task",
]  # fmt: skip
