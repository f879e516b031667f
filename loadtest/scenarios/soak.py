"""Eight ordinary hours: a few rooms, people who come and go, a message every second.

What grows here, memory of the server above all, grows for ever.  Compare its first hour with its last.
"""

from math import pi, sin

from loadtest import Load, LoadTestShape, Reader, User, between, per_second, tag, task

ROOMS = [f"square/{name}" for name in ("main", "climat", "culture", "europe", "sport")]

LINES = [
    "Quelqu'un a le lien de l'étude ?",
    "I read it the other way round.",
    "Bonne nuit à tous !",
    "Et pour les communes de moins de 500 habitants ?",
    "Source?",
    "Merci, très clair.",
]


class Passer(Reader):
    rooms = ROOMS
    rooms_each = 1
    weight = 18


class Speaker(User):
    rooms = ROOMS
    rooms_each = 2
    arrivals = per_second(1)

    @tag("writes")
    @task
    async def speak(self):
        await self.publish(self.random.choice(self.rooms), self.random.choice(LINES))


class Browser(User):
    """Goes from room to room and reads what was said."""

    rooms = ROOMS
    rooms_each = 1
    wait_time = between(20, 60)

    @tag("reads")
    @task
    async def look_back(self):
        with self.measure("history"):
            await self.client.history(self.room, limit=100)


class Hours(LoadTestShape):
    """As many as asked for, and a fifth more or less in the course of each hour."""

    users = 500
    run_time_s = 8 * 3600

    def tick(self):
        if self.get_run_time() >= self.run_time_s:
            return None
        tide = 1 + 0.2 * sin(2 * pi * self.get_run_time() / 3600)
        return Load(round(self.users * tide), 10)
