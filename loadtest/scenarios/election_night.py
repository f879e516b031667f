"""Election night: a calm evening, and at 20:00 the first estimate is on every screen.

Within seconds everybody is there and everybody writes: that is the wall.  Messages follow a
plan, so a slow server cannot slow its own load; latencies count from the plan's moments.
"""

from loadtest import Load, LoadTestShape, Option, Reader, User, per_second, tag, task

options = {
    "calm": Option(1.0, "messages a second before 20:00"),
    "wall": Option(10.0, "messages a second just after it"),
}

MAIN = "election/main"
REGIONS = ["election/bretagne", "election/corse", "election/normandie", "election/occitanie"]

BEFORE = ["Plus que quelques minutes…", "Still nothing?", "Le bureau 12 a fermé en retard.", "Turnout looks high here"]
AFTER = [
    "Incroyable !!!",
    "I can't believe it 😱",
    "Attendez, ce n'est qu'une estimation.",
    "52 à 48, c'est dans la marge d'erreur",
    "And the overseas territories?",
    "Bravo à tous ceux qui sont allés voter 🇫🇷",
]


class Viewer(Reader):
    rooms = [MAIN]
    weight = 16


class RegionalViewer(Reader):
    rooms = REGIONS
    rooms_each = 1
    weight = 2


class Correspondent(User):
    rooms = REGIONS
    fixed_count = 4
    arrivals = per_second(2)

    @task
    async def report(self):
        await self.publish(self.random.choice(self.rooms), f"Dépouillement : {self.random.randint(1, 99)} % des bureaux")


class Waiting(User):
    rooms = [MAIN]
    arrivals = per_second(1)

    @tag("writes")
    @task
    async def wonder(self):
        await self.publish(self.room, self.random.choice(BEFORE))


class Citizen(User):
    rooms = [MAIN]
    arrivals = per_second(0)

    @tag("writes")
    @task
    async def comment(self):
        await self.publish(self.room, self.random.choice(AFTER))


class ElectionNight(LoadTestShape):
    users = 2000
    run_time_s = 60

    def tick(self):
        part = self.get_run_time() / self.run_time_s
        calm, wall = self.options["calm"], self.options["wall"]
        if part >= 1:
            return None
        if part < 0.4:
            return Load(self.users // 5, self.users / 20, {Waiting: calm, Citizen: 0})
        if part < 0.7:
            return Load(self.users, self.users / 5, {Waiting: 0, Citizen: wall})
        return Load(self.users, self.users / 5, {Waiting: 0, Citizen: wall / 3})
