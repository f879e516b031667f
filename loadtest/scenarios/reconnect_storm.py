"""A train enters a tunnel: all readers lose their network at the same moment, and come back by their own rules.

Three storms in a minute.  Look at `resume` (how long a reader was away), and at `resumes_recovered`
against `resumes_reset`: who came back without a hole.  Your own storm is one line more in `faults`, or
`--fault "30s kill gateway"`.
"""

from loadtest import Reader, Steady, User, per_second, tag, task

ROOMS = ["square/main", "square/north", "square/south"]

faults = ["15s offline 100000", "30s offline 100000", "32s offline 100000"]

LINES = ["Vous m'entendez ?", "Back again, what did I miss?", "Le réseau est horrible ici", "On en était où ?"]


class Traveller(Reader):
    rooms = ROOMS
    rooms_each = 1
    weight = 19
    audit_share = 0.05


class Speaker(User):
    rooms = ROOMS
    rooms_each = 1
    arrivals = per_second(6)

    @tag("writes")
    @task
    async def speak(self):
        await self.publish(self.room, self.random.choice(LINES))


class Journey(Steady):
    users = 1000
    spawn_rate = 200
    run_time_s = 60
