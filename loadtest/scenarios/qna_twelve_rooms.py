"""Twelve candidates answer questions at the same time, each in a room of their own.

Every person is in one room; the rooms fill evenly.  A candidate hears a question and answers it:
`question to answer` is how long the asker waited.
"""

import trio

from loadtest import Reader, Steady, User, constant, per_second, tag, task

ROOMS = [f"qna/candidate-{number}" for number in range(1, 13)]

QUESTIONS = [
    "Comment financez-vous les transports en milieu rural ?",
    "What will you do about housing in the first hundred days?",
    "Quelle place pour le nucléaire en 2050 ?",
    "Will you publish your meetings with lobbyists?",
]
ANSWERS = ["Bonne question. En deux mots : oui.", "Let me be precise.", "C'est au programme, page 12.", "No, and here is why."]


class Listener(Reader):
    rooms = ROOMS
    rooms_each = 1
    weight = 9


class Candidate(User):
    rooms = ROOMS
    rooms_each = 1
    fixed_count = 12
    wait_time = constant(1)

    async def on_start(self):
        self.asked = []

    async def on_message(self, event):
        if event.text.startswith("?"):
            self.asked.append(event.name)

    @task
    async def answer(self):
        if self.asked:
            await self.publish(self.room, f"@{self.asked.pop(0)} {self.random.choice(ANSWERS)}")


class Asker(User):
    rooms = ROOMS
    rooms_each = 1
    arrivals = per_second(6)

    async def on_start(self):
        self.answered = trio.Event()

    async def on_message(self, event):
        if event.text.startswith(f"@{self.client.name} "):
            self.answered.set()

    @tag("writes")
    @task
    async def ask(self):
        self.answered = trio.Event()
        await self.publish(self.room, f"? {self.random.choice(QUESTIONS)}")
        with self.measure("question to answer"), trio.fail_after(10):
            await self.wait_for(self.answered)


class TwelveRooms(Steady):
    users = 600
    spawn_rate = 100
    run_time_s = 60
