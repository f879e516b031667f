"""The locustfile for a stock locust master: the classes of a scenario, whose users live in our workers.  Pure.

A locust master runs no users, but it deals them out: it must know each class by name, weight
and fixed count.  Its page shows the tasks, and `--tags` choose among them, so those are there,
too, without their bodies.  Two words of our own travel beside locust's
(`loadtest/locust/session.py`): how many workers there are, since together they follow one
plan of arrivals; and that they shall close their audits before the run is over, since a
headless master leaves half a second for the last figures.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from loadtest.locust.session import SETTLE_WORD, SETTLED_WORD, WORKERS_WORD
from loadtest.people.scenario import Scenario
from loadtest.people.tasks import known_tags, tags_of, tasks_of
from loadtest.people.users import Person

_HEAD: Final = '''\
"""The user classes of the parvis scenario {name!r}, for a stock locust master.

Written by    parvis loadtest -f {name} --print-locustfile
Start it as   locust -f this_file.py --master
and beside it, as often as you like, wherever parvis is installed:
              parvis loadtest -f {name} --worker --locust --master-host ...

Users live in those workers.  The tasks here have no bodies: they are for the page and for --tags.
"""

import os
import time

from locust import User, events, tag, task
from locust.runners import MasterRunner

HOST = {host!r}

'''

_TAIL: Final = f'''
# Our workers begin a whole run of their own first, and locust waits one second for their users before it says that some
# are missing.  Below four: it may hear nobody meanwhile, and after four silent seconds it takes its workers for dead.
os.environ.setdefault("LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP", "2.5")

@events.init.add_listener
def hear_workers(environment, **kwargs):
    # Without a page locust tells workers of --host only, and of no class's own.
    environment.host = environment.host or HOST
    runner, settled, told = environment.runner, set(), []
    if not isinstance(runner, MasterRunner):
        return

    def count_workers(**kwargs):
        """Workers share the arrivals of a plan: each is told how many they are, when that changes."""
        if told != [runner.worker_count]:
            told[:] = [runner.worker_count]
            runner.send_message("{WORKERS_WORD}", {{"workers": runner.worker_count}})

    def begin(**kwargs):
        settled.clear()
        told.clear()
        count_workers()

    def let_audits_close(**kwargs):
        """What was said is compared with what was read before the last figures are told: a minute at most."""
        runner.send_message("{SETTLE_WORD}")
        give_up_at = time.monotonic() + 60
        while time.monotonic() < give_up_at and not settled.issuperset(
            each.id for each in runner.clients.running + runner.clients.spawning
        ):
            time.sleep(0.1)

    runner.register_message("{SETTLED_WORD}", lambda msg, **kwargs: settled.add(msg.node_id))
    environment.events.test_start.add_listener(begin)
    environment.events.worker_report.add_listener(count_workers)
    environment.events.test_stopping.add_listener(let_audits_close)
'''


def locustfile(scenario: Scenario, hosts: Sequence[str] = ()) -> str:
    """Its text; `hosts` are what `--host` of locust is by default."""
    head = _HEAD.format(name=scenario.name, host=hosts[0] if hosts else None)
    return head + "\n".join(_class(each, hosts) for each in scenario.classes) + _TAIL


def _class(each: type[Person], hosts: Sequence[str]) -> str:
    host = each.host or (hosts[0] if hosts else "")
    lines = [
        "",
        f"class {each.__name__}(User):",
        f"    weight = {max(each.weight, 1e-9)!r}",
        f"    fixed_count = {each.fixed_count!r}",
        f"    host = {host!r}",
        *_tasks(each),
    ]
    return "\n".join(lines) + "\n"


def _tasks(each: type[Person]) -> Iterator[str]:
    """Each once, with how often it is there; a reader's only task is to read."""
    found = list(tasks_of(each))
    if not found:
        yield from ("", "    @task", "    def read(self):", '        """In a worker."""')
    for body in dict.fromkeys(found):
        tags = known_tags([body]) if isinstance(body, type) else tags_of(body)
        yield ""
        if tags:
            yield f"    @tag({', '.join(map(repr, sorted(tags)))})"
        yield f"    @task({found.count(body)})"
        yield f"    def {body.__name__}(self):"
        yield '        """In a worker."""'
