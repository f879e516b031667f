"""What must hold between settings, beyond the bound that each has of its own.  Pure."""

import re
from collections.abc import Iterator

from runtime.addresses import Networks
from runtime.redis_url import parse_redis_url
from runtime.schema import AdmissionSettings, ClusterSettings, Settings, TokenSettings
from wire.capabilities import parse_capabilities
from wire.limits import SHARDS_MAX
from wire.names import parse_room

# Exactly what a browser puts into Origin: no path, no slash at the end, lower case.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:\d{1,5})?\Z")
_SHARD_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")

Broken = tuple[tuple[str, ...], str]
"""The keys concerned, and a sentence that names the bound and the values."""


def broken_relations(settings: Settings) -> Iterator[Broken]:
    """Every relation that does not hold."""
    gateway = settings.gateway
    if gateway.connections_soft_max > gateway.connections_max:
        yield (
            ("gateway.connections_soft_max", "gateway.connections_max"),
            f"gateway.connections_soft_max {gateway.connections_soft_max} exceeds"
            f" gateway.connections_max {gateway.connections_max}",
        )
    if gateway.pong_timeout_s >= gateway.ping_interval_s:
        # One ping under way at a time: the answer to it must be due before the next (SEMANTICS, R35).
        yield (
            ("gateway.pong_timeout_s", "gateway.ping_interval_s"),
            f"gateway.pong_timeout_s {gateway.pong_timeout_s} is not below gateway.ping_interval_s {gateway.ping_interval_s}",
        )
    if bool(gateway.tls_certificate) != bool(gateway.tls_key):
        there, missing = ("certificate", "key") if gateway.tls_certificate else ("key", "certificate")
        yield (
            ("gateway.tls_certificate", "gateway.tls_key"),
            f"gateway.tls_{there} is set and gateway.tls_{missing} is not: TLS needs both files",
        )
    for name, section in (("gateway", gateway), ("broker", settings.broker)):
        if section.port == section.admin_port != 0 and section.host == section.admin_host:
            yield (
                (f"{name}.port", f"{name}.admin_port"),
                f"{name}.port and {name}.admin_port are both {section.port} on {section.host}",
            )
    for origin in gateway.origins:
        if origin != "*" and not _ORIGIN.match(origin):
            yield (
                ("gateway.origins",),
                f"gateway.origins has {origin!r}; an origin is scheme://host or scheme://host:port in lower case, or *",
            )
    for namespace in settings.rooms.namespaces:
        if parse_room(f"{namespace}/x") is None:
            yield (
                ("rooms.namespaces",),
                f"rooms.namespaces has {namespace!r}; a namespace is 1 to 32 of a-z 0-9 _ - and begins with a letter or digit",
            )
    if settings.broker.advertise and not _is_address(settings.broker.advertise):
        yield (
            ("broker.advertise",),
            f"broker.advertise is {settings.broker.advertise!r}; an address is host:port, with a port of 1 to 65535",
        )
    yield from _broken_tokens(settings.tokens)
    yield from _broken_admission(settings.admission)
    yield from _broken_cluster(settings.cluster)
    yield from _broken_redis(settings)


def _broken_tokens(tokens: TokenSettings) -> Iterator[Broken]:
    if tokens.keys_file and not tokens.issuer:
        yield ("tokens.issuer", "tokens.keys_file"), "tokens.issuer is empty, and tokens.keys_file needs it: the iss of tokens"
    if not tokens.keys_file and not tokens.guests_may:
        yield (
            ("tokens.guests_may", "tokens.keys_file"),
            "tokens.guests_may is empty and tokens.keys_file, too: nobody could come in",
        )
    for key, table in (("tokens.guests_may", tokens.guests_may), ("tokens.users_may", tokens.users_may)):
        try:
            parse_capabilities(table)
        except ValueError as error:
            yield (key,), f"{key}: {error}"


def _broken_admission(admission: AdmissionSettings) -> Iterator[Broken]:
    yield from _broken_networks("admission.trusted_proxies", admission.trusted_proxies)
    yield from _broken_networks("admission.address_exempt", admission.address_exempt)
    ways = {"admission.proxy_protocol": admission.proxy_protocol, "admission.forwarded_for": admission.forwarded_for}
    asked = [key for key, is_asked in ways.items() if is_asked]
    if asked and not admission.trusted_proxies:
        yield (*asked, "admission.trusted_proxies"), f"{asked[0]} is on, and admission.trusted_proxies names no proxy to believe"
    if admission.trusted_proxies and not asked:
        yield (
            ("admission.trusted_proxies", *ways),
            "admission.trusted_proxies is set, and neither admission.proxy_protocol nor admission.forwarded_for"
            " says how they name their clients",
        )


def _broken_networks(key: str, texts: list[str]) -> Iterator[Broken]:
    for text in texts:
        try:
            Networks([text])
        except ValueError as error:
            yield (key,), f"{key} has {text!r}; a network is an address or address/length: {error}"


def _broken_cluster(cluster: ClusterSettings) -> Iterator[Broken]:
    keys = ("cluster.shards",)
    if not 1 <= len(cluster.shards) <= SHARDS_MAX:
        yield keys, f"cluster.shards names {len(cluster.shards)} shards; a cluster has 1 to {SHARDS_MAX}"
    for shard, address in cluster.shards.items():
        if not _SHARD_ID.match(shard):
            yield keys, f"cluster.shards has {shard!r}; a shard's id is 1 to 32 of a-z 0-9 - and begins with a letter or digit"
        if not _is_address(address):
            yield keys, f"cluster.shards has {shard} at {address!r}; an address is host:port, with a port of 1 to 65535"
    shared = {address for address in cluster.shards.values() if list(cluster.shards.values()).count(address) > 1}
    for address in sorted(shared):
        yield keys, f"cluster.shards has {address!r} for more than one shard"


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 1 <= int(port) <= 65535


def _broken_redis(settings: Settings) -> Iterator[Broken]:
    users = [("journal.kind", settings.journal.kind), ("cluster.directory", settings.cluster.directory)]
    needing = [key for key, value in users if value == "redis"]
    url = settings.redis.url
    if needing and not url:
        yield ("redis.url", *needing), f"redis.url is empty, and {needing[0]} = redis needs it, as in redis://10.0.0.5:6379/0"
    elif url:
        try:
            parse_redis_url(url)
        except ValueError as error:
            yield ("redis.url",), f"redis.url {error}"
    if settings.journal.wait_replicas and settings.journal.kind != "redis":
        yield (
            ("journal.wait_replicas", "journal.kind"),
            f"journal.wait_replicas is {settings.journal.wait_replicas}, and only journal.kind = redis has replicas",
        )
