"""A cluster's journal in Redis as a store of the archive's contract."""

from contextlib import ExitStack, closing

from broker.journal.archive import Source, Target
from broker.journal.protocol import Journal
from broker.journal.redis import RedisJournal
from broker.journal.redis_archive import RedisSource
from broker.journal.redis_target import RedisTarget
from runtime.schema import RedisSettings
from tests.support.archive_contract import Store


class RedisStore(Store):
    """Whatever is opened is closed by `opened`."""

    def __init__(self, settings: RedisSettings, cluster: str, opened: ExitStack, wait_replicas: int = 0) -> None:
        self.settings = settings
        self.cluster = cluster
        self._opened = opened
        self._replicas = wait_replicas

    def journal(self) -> Journal:
        """A new one each time: whether it can be opened is asked again."""
        journal = RedisJournal(self.settings, cluster=self.cluster, new_store_id=f"store of {self.cluster}")
        return self._opened.enter_context(closing(journal))

    def source(self) -> Source:
        self.journal()
        return self._opened.enter_context(closing(RedisSource(self.settings, cluster=self.cluster)))

    def target(self) -> Target:
        target = RedisTarget(
            self.settings, cluster=self.cluster, new_store_id="a new one", wait_replicas=self._replicas
        )
        return self._opened.enter_context(closing(target))
