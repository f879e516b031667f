"""The load test: people who read and speak, as many as asked for, and honest figures of what reached them.

What a scenario imports is here; names that locust has mean what they mean there.
"""

from loadtest.arrivals import per_minute, per_second
from loadtest.hooks import events
from loadtest.scenario import Option
from loadtest.shapes import Load, LoadTestShape, Steady
from loadtest.tasks import (
    RescheduleTask,
    RescheduleTaskImmediately,
    SequentialTaskSet,
    StopUser,
    TaskSet,
    tag,
    task,
)
from loadtest.users import Reader, User
from loadtest.waits import between, constant, constant_pacing, constant_throughput, poisson

__all__ = [
    "Load", "LoadTestShape", "Option", "Reader", "RescheduleTask", "RescheduleTaskImmediately", "SequentialTaskSet", "Steady",
    "StopUser", "TaskSet", "User", "between", "constant", "constant_pacing", "constant_throughput", "events", "per_minute",
    "per_second", "poisson", "tag", "task",
]  # fmt: skip
