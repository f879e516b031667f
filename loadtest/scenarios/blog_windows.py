"""Ten thousand windows on forty blogs: people who read along under an article and never write.

A window is opened, stays for a while, and is closed again; one author now and then says something.
10,000 connections need as many descriptors (`ulimit -n`), and one process has room for 15,000 of them.
"""

from loadtest import Load, LoadTestShape, Reader, User, per_minute, task

BLOGS = [f"blog/article-{number}" for number in range(1, 41)]

LINES = [
    "Mise à jour : la vidéo est en ligne.",
    "Thanks for all the comments, the second part comes on Sunday.",
    "J'ai corrigé le graphique, merci à celle qui l'a vu.",
    "Le tribunal rend sa décision demain à 14 h.",
]


class Window(Reader):
    rooms = BLOGS
    rooms_each = 1


class Author(User):
    rooms = BLOGS
    fixed_count = 3
    arrivals = per_minute(120)

    @task
    async def post(self):
        await self.publish(self.random.choice(self.rooms), self.random.choice(LINES))


class Day(LoadTestShape):
    """Windows open until noon, and some close again."""

    users = 10_000
    run_time_s = 120

    def tick(self):
        part = self.get_run_time() / self.run_time_s
        if part >= 1:
            return None
        rate = 4 * self.users / self.run_time_s
        return Load(self.users if part < 0.8 else self.users * 3 // 4, rate)
