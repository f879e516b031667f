"""`parvis check` of a journal in Redis: whether it is there, whose it is, and what a crash of it would cost."""

from collections.abc import Iterator

from broker.journal.protocol import JournalCorrupt
from broker.journal.redis_keys import Keys
from broker.journal.redis_store import ServerFacts, examine, look_at_store, refuse_unfit
from parvis.finding import Finding
from runtime.lifecycle import ExitCode
from runtime.redis_client import RedisClient
from runtime.redis_connection import RedisAway, ReplyError, code_of
from runtime.schema import Settings


def examine_redis(settings: Settings) -> Iterator[Finding]:
    """Everything about the store that a start looks at, and what an operator should know; writes nothing."""
    client = RedisClient(settings.redis)
    try:
        facts = examine(client)
        for server in facts:
            yield Finding("ok", str(server))
        yield from _what_a_crash_costs(settings, facts)
        refuse_unfit(facts)
        newest = look_at_store(client, Keys(settings.cluster.name))
    except RedisAway as error:
        yield Finding("bad", str(error), ExitCode.UNAVAILABLE)
    except JournalCorrupt as error:
        yield Finding("bad", str(error), ExitCode.DATA)
    except ReplyError as error:
        if code_of(error) != "WRONGTYPE":
            yield Finding("bad", f"Redis {client.place} refuses: {error}", ExitCode.UNAVAILABLE)
            return
        what = f"Redis {client.place} holds no journal of parvis under {settings.cluster.name}: {error}"
        yield Finding("bad", what, ExitCode.DATA)
    else:
        cluster = settings.cluster.name
        what = "is not there yet; the first start makes it" if newest is None else f"opens; slot map {newest}"
        yield Finding("ok", f"journal of the cluster {cluster} {what}")
    finally:
        client.close()


def _what_a_crash_costs(settings: Settings, facts: list[ServerFacts]) -> Iterator[Finding]:
    asked = settings.journal.wait_replicas
    for server in facts:
        if not server.appendonly:
            yield Finding("note", f"Redis {server.name} has appendonly no: what was acknowledged ends with its process")
        elif server.appendfsync not in ("always", "everysec"):
            yield Finding("note", f"Redis {server.name} has appendfsync {server.appendfsync}: a power cut may cost half a minute")
        if server.replicas < asked:
            yield Finding(
                "note",
                f"Redis {server.name} has {server.replicas} replicas and journal.wait_replicas is {asked}:"
                " nothing can be published until there are as many",
            )
        elif server.replicas > asked:
            yield Finding(
                "note",
                f"Redis {server.name} has {server.replicas} replicas and journal.wait_replicas is {asked}:"
                " a failover may forget what was acknowledged last",
            )
