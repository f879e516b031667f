"""A debate opens: some wait in the room, then everybody comes within seconds, and half of them greet.

Look at `connect` in the rush, and at `deliver` once the room is full.
"""

from loadtest import Load, LoadTestShape, Reader, User, between, tag, task

ROOM = "debate/main"

GREETINGS = ["Bonsoir à tous !", "Good evening from Lyon", "Ça commence enfin", "Salut la Bretagne 👋", "First time here"]
REMARKS = [
    "Elle n'a toujours pas répondu sur les retraites.",
    "What about rural hospitals? Nobody says a word.",
    "Les chiffres du chômage sont faux, cherchez la source.",
    "Can we please stay on the subject?",
    "Très bonne question de la salle.",
    "D'accord sur le fond, pas sur le calendrier.",
]


class Spectator(Reader):
    rooms = [ROOM]
    weight = 19


class Citizen(User):
    rooms = [ROOM]
    weight = 1
    wait_time = between(5, 20)

    async def on_start(self):
        if self.random.random() < 0.5:
            await self.publish(self.room, self.random.choice(GREETINGS))

    @tag("writes")
    @task(4)
    async def remark(self):
        await self.publish(self.room, self.random.choice(REMARKS))

    @tag("reads")
    @task
    async def look_back(self):
        with self.measure("history"):
            await self.client.history(self.room, limit=50)


class DebateOpens(LoadTestShape):
    users = 1000
    run_time_s = 90

    def tick(self):
        part = self.get_run_time() / self.run_time_s
        if part >= 1:
            return None
        if part < 0.15:
            return Load(self.users // 10, self.users / 20)
        if part < 0.85:
            return Load(self.users, self.users / 5)  # everybody within five seconds
        return Load(self.users // 2, self.users / 10)
