"""A scenario of a few people, for tests that run a whole load test."""

from pathlib import Path

TINY = '''
"""Listeners and a speaker."""
from loadtest import Reader, User, constant, task


class Listener(Reader):
    rooms = ["square/main"]
    weight = 3


class Speaker(User):
    rooms = ["square/main"]
    wait_time = constant(0.2)

    @task
    async def talk(self):
        await self.publish(self.room, "good evening")
'''


def tiny_scenario(folder: Path) -> str:
    """Its path."""
    path = folder / "tiny.py"
    path.write_text(TINY)
    return str(path)
