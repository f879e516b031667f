"""Every metric of the program, declared once: the table.

A class per role; an object of it is given to the role, which counts in plain attributes.
To add one, add a field: nothing else has to be told.  Names follow Prometheus (base units,
unit and ``_total`` in the name); no label ever holds a room, a user, an address or a text,
so a process has under 500 series at any number of rooms (tests/runtime/test_metrics.py).
"""

# ruff: noqa: RUF009 -- the calls in these dataclass defaults are `dataclasses.field` with a declaration.

from dataclasses import dataclass
from typing import Any, Final

from runtime.metric_kinds import (
    Histogram,
    LabelCounts,
    Sample,
    counter,
    counter_by,
    gauge,
    histogram,
    info,
    nested,
    sampled,
)
from wire.codes import CloseCode, Refusal, ResumeReason

REFUSAL_CODES: Final = tuple(refusal.value.code for refusal in Refusal)
CLOSE_CODES: Final = tuple(str(int(code)) for code in CloseCode)
# What a browser sends of itself: RFC 6455's "no code" and "lost", which no frame can carry.
PEER_CLOSE_CODES: Final = (*CLOSE_CODES, "1005", "1006")
LADDER_RUNGS: Final = ("sampled_1", "sampled_2", "sampled_3", "state_only")
RESUME_OUTCOMES: Final = ("recovered", *(reason.value for reason in ResumeReason))
PUBLISH_RESULTS: Final = ("committed", "refused", "unknown")
WRITE_OUTCOMES: Final = ("committed", "fenced", "behind", "diverged", "unknown")
HANDSHAKE_REFUSALS: Final = (
    "not_http", "http_version", "target", "host", "body", "repeated", "key", "subprotocol", "origin", "method",
    "deadline", "not_upgrade", "websocket_version", "extensions", "too_large", "proxy_header",
    "address", "busy", "peer_gone",
)  # fmt: skip
# What a limit of gateway/crowd.py is called: whose it is, and on what.
ADMISSION_LIMITS: Final = (
    "address_connections", "address_connect", "address_join", "address_publish",
    "user_connections", "user_connect", "user_join", "user_publish", "room_join", "room_publish",
)  # fmt: skip
# Why there was no TLS with a caller; gateway/tls_door.py tells them apart.
TLS_FAILURES: Final = ("deadline", "peer_gone", "plain_http", "not_tls", "version", "cipher", "certificate", "too_large")
TLS_RELOADS: Final = ("loaded", "refused")
GC_GENERATIONS: Final = ("0", "1", "2")

# Around the promise: 99 % of deliveries within 500 ms, connects within 1 s.
LATENCY_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# A commit is one fsync (0.3 to 10 ms on disks in use) or one round trip (0.2 ms).
COMMIT_BOUNDS_S: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
PAUSE_BOUNDS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(slots=True)
class GatewayCounters:
    """One gateway: its connections, what it refuses, what it delivers."""

    connections: Sample = sampled("parvis_gateway_connections", "Websocket connections that are open.")
    connections_max: int = gauge("parvis_gateway_connections_limit", "Connections beyond which a handshake is refused.")
    handshakes_pending: Sample = sampled("parvis_gateway_handshakes_pending", "Connections whose handshake is not finished.")
    accepted: int = counter("parvis_gateway_accepted_total", "TCP connections accepted.")
    opened: int = counter("parvis_gateway_connections_opened_total", "Handshakes that became a websocket connection.")
    deflating_opened: int = counter(
        "parvis_gateway_deflating_connections_opened_total", "Handshakes that agreed on compression."
    )
    closed: LabelCounts = counter_by(
        "code", PEER_CLOSE_CODES, "parvis_gateway_connections_closed_total", "Websocket connections that ended, by close code."
    )
    shed: int = counter(
        "parvis_gateway_shed_total", "Connections turned away unread: too many handshakes, or no descriptor left."
    )
    handshake_refusals: LabelCounts = counter_by(
        "reason", HANDSHAKE_REFUSALS, "parvis_gateway_handshake_refusals_total", "Handshakes that did not open, by reason."
    )
    tls_failures: LabelCounts = counter_by(
        "reason", TLS_FAILURES, "parvis_gateway_tls_failures_total", "TLS handshakes that failed, by reason."
    )
    tls_reloads: LabelCounts = counter_by(
        "result", TLS_RELOADS, "parvis_gateway_tls_reloads_total", "Changed certificates, by what became of them."
    )
    tls_certificate_expiry: Sample = sampled(
        "parvis_gateway_tls_certificate_expiry_seconds", "Until the certificate in use expires; negative once it has."
    )
    handshake_seconds: Histogram = histogram(
        LATENCY_BOUNDS_S, "parvis_gateway_handshake_seconds", "From accept to the answer of the first hello."
    )
    accept_errors: int = counter("parvis_gateway_accept_errors_total", "Failures of accept(2), as when descriptors run out.")
    connection_errors: int = counter(
        "parvis_gateway_connection_errors_total", "Connections ended by a bug of ours; each has a traceback in the log."
    )
    protocol_errors: LabelCounts = counter_by(
        "code", CLOSE_CODES, "parvis_gateway_protocol_errors_total", "Clients that broke the protocol, by close code."
    )
    refusals: LabelCounts = counter_by(
        "code", REFUSAL_CODES, "parvis_gateway_refusals_total", "Requests of clients answered by a refusal."
    )
    admission_refused: LabelCounts = counter_by(
        "limit", ADMISSION_LIMITS, "parvis_gateway_admission_refused_total", "Connects and requests beyond a limit of many."
    )
    admission_dry_run: LabelCounts = counter_by(
        "limit", ADMISSION_LIMITS, "parvis_gateway_admission_dry_run_total", "What a limit in dry-run would have refused."
    )
    admission_keys: Sample = sampled(
        "parvis_gateway_admission_keys", "Addresses, users and rooms that limits remember something of."
    )
    publishes: LabelCounts = counter_by(
        "result", PUBLISH_RESULTS, "parvis_gateway_publishes_total", "Commands passed to a shard, by what became of them."
    )
    frames_in: int = counter("parvis_gateway_frames_total", "Websocket frames of clients and to them.", direction="in")
    frames_out: int = counter("parvis_gateway_frames_total", "Websocket frames of clients and to them.", direction="out")
    bytes_in: int = counter("parvis_gateway_bytes_total", "Bytes read from clients and written to them.", direction="in")
    bytes_out: int = counter("parvis_gateway_bytes_total", "Bytes read from clients and written to them.", direction="out")
    deliveries: int = counter("parvis_gateway_deliveries_total", "Events given to one reader each.")
    passes: int = counter("parvis_gateway_passes_total", "Fan-out passes begun.")
    count_sends: int = counter("parvis_gateway_count_sends_total", "Sends to one reader each that carried a head count only.")
    sends_blocked: int = counter("parvis_gateway_sends_blocked_total", "Sends that a full socket cut short or refused.")
    ladder_falls: LabelCounts = counter_by(
        "rung", LADDER_RUNGS, "parvis_gateway_ladder_falls_total", "Times a slow reader went down to a rung."
    )
    events_skipped: int = counter(
        "parvis_gateway_events_skipped_total", "Events that slow readers were told they do not get, for one reader each."
    )
    slow_closed: int = counter("parvis_gateway_slow_closed_total", "Readers closed because they fell too far behind.")
    silent_closed: int = counter("parvis_gateway_silent_closed_total", "Connections closed because a ping was not answered.")
    resumes: LabelCounts = counter_by(
        "outcome", RESUME_OUTCOMES, "parvis_gateway_resumes_total", "Resumes of a position, by what became of them."
    )
    reattaches: int = counter("parvis_gateway_reattaches_total", "Feeds that found a gap and attached again.")
    repair_reads: int = counter("parvis_gateway_repair_reads_total", "Pages of history read to close holes in feeds.")
    reader_lag_seconds: Histogram = histogram(
        LATENCY_BOUNDS_S,
        "parvis_gateway_reader_lag_seconds",
        "As readers have it: age of the oldest event that an answer to a ping does not name; 0 if it names the newest.",
    )
    reported_due: int = counter(
        "parvis_gateway_reader_events_due_total", "Events that came for a reader since its last answer to a ping."
    )
    reported_processed: int = counter(
        "parvis_gateway_reader_events_processed_total", "Those of them that the reader had processed, or was told are skipped."
    )
    reports_implausible: int = counter(
        "parvis_gateway_reader_reports_implausible_total", "Places in answers to pings that cannot be, and were not counted."
    )
    feeds: Sample = sampled("parvis_gateway_feeds", "Rooms with a feed in this gateway.")
    members: Sample = sampled("parvis_gateway_members", "Memberships: connections times the rooms each has joined.")
    control_unsure: Sample = sampled(
        "parvis_gateway_control_unsure_seconds", "Since when revocations may have been missed; 0 while they are heard of."
    )
    delivery_seconds: Histogram = histogram(
        LATENCY_BOUNDS_S, "parvis_gateway_delivery_seconds", "From an event's arrival at the gateway to the end of its pass."
    )


@dataclass(slots=True)
class RouterCounters:
    """How a gateway or an api reaches shards."""

    publishes: int = counter("parvis_router_publishes_total", "Commands given to the router.")
    reads: int = counter("parvis_router_reads_total", "Range reads given to the router.")
    reads_shared: int = counter("parvis_router_reads_shared_total", "Reads answered by another's identical question.")
    refused_busy: int = counter("parvis_router_refused_busy_total", "Requests refused because a link was full.")
    refused_unavailable: int = counter("parvis_router_refused_unavailable_total", "Requests refused: no shard in reach.")
    resent: int = counter("parvis_router_resent_total", "Publishes that were sent on a second link.")
    given_up: int = counter("parvis_router_given_up_total", "Requests whose wait ended, or whose second link was lost.")
    late_answers: int = counter("parvis_router_late_answers_total", "Answers to requests that had been given up.")
    stale_messages: int = counter("parvis_router_stale_messages_total", "Messages to a feed of another generation, or to none.")
    attaches: int = counter("parvis_router_attaches_total", "Feeds that were attached, the first time or again.")
    attaches_refused: int = counter("parvis_router_attaches_refused_total", "Attaches that a shard refused.")
    moved: int = counter("parvis_router_moved_total", "Answers that the shard does not speak for the room.")
    links_up: Sample = sampled("parvis_router_links_up", "Links to shards that are open.")
    links_opened: int = counter("parvis_router_links_opened_total", "Links to shards that were opened.")
    links_lost: int = counter("parvis_router_links_lost_total", "Open links that ended.")
    links_failed: int = counter("parvis_router_links_failed_total", "Attempts to open a link that did not succeed.")
    link_bytes_waiting: Sample = sampled("parvis_router_link_waiting_bytes", "Bytes that wait on links to shards.")
    protocol_errors: int = counter("parvis_router_protocol_errors_total", "Links ended because the shard broke the protocol.")


@dataclass(slots=True)
class CommitCounters:
    """One group committer."""

    groups: int = counter("parvis_commit_groups_total", "Group commits that ended.")
    writes: int = counter("parvis_commit_writes_total", "Writes in them, after merging.")
    failures: int = counter("parvis_commit_failures_total", "Group commits whose outcome is unknown.")
    seconds: Histogram = histogram(COMMIT_BOUNDS_S, "parvis_commit_seconds", "One group commit, the wait for a thread included.")
    pending: Sample = sampled("parvis_commit_pending", "Writes that wait for a group.")


@dataclass(slots=True)
class BrokerCounters:
    """One shard: rooms, commands, batches, and its committer."""

    publishes: int = counter("parvis_broker_publishes_total", "Commands that people sent.")
    duplicates: int = counter("parvis_broker_duplicates_total", "Commands answered with the position of an earlier one.")
    refused: LabelCounts = counter_by("code", REFUSAL_CODES, "parvis_broker_refusals_total", "Commands refused, by code.")
    unknown: int = counter("parvis_broker_unknown_total", "Commands answered by an unknown outcome.")
    publish_seconds: Histogram = histogram(
        LATENCY_BOUNDS_S, "parvis_broker_publish_seconds", "From a command's arrival to its answer."
    )
    events_committed: int = counter("parvis_broker_events_total", "Events committed and published.")
    writes: LabelCounts = counter_by(
        "outcome", WRITE_OUTCOMES, "parvis_broker_writes_total", "Writes of rooms to the journal, by outcome."
    )
    batches: int = counter("parvis_broker_batches_total", "Batches sent to gateways.")
    reattaches: int = counter("parvis_broker_reattaches_total", "Feeds told to attach again because their link was full.")
    attaches: int = counter("parvis_broker_attaches_total", "Feeds attached.")
    rooms_loaded: Sample = sampled("parvis_broker_rooms_loaded", "Rooms in memory.")
    rooms_evicted: int = counter("parvis_broker_rooms_evicted_total", "Rooms that left memory.")
    feeds: Sample = sampled("parvis_broker_feeds", "Feeds attached, over all gateways and rooms.")
    links_up: Sample = sampled("parvis_broker_links_up", "Links of gateways that are open.")
    link_refusals: int = counter("parvis_broker_link_refusals_total", "Links that did not pass the handshake.")
    link_errors: int = counter("parvis_broker_link_errors_total", "Links ended because the peer broke the protocol.")
    epochs_ended: int = counter("parvis_broker_epochs_ended_total", "Epochs ended because the journal holds other content.")
    repairs: int = counter("parvis_broker_repairs_total", "Rooms whose newest events were written to the journal again.")
    events_repaired: int = counter(
        "parvis_broker_events_repaired_total", "Events written again because the journal had forgotten them."
    )
    store_changes: int = counter(
        "parvis_broker_store_changes_total", "Times the store came back as another one, so that all heads were verified."
    )
    slots_released: int = counter("parvis_broker_slots_released_total", "Slots given up to another owner.")
    journal_store: dict[str, str] = info(
        "parvis_broker_journal_store_info", "What the journal is kept in and how it gets to disk; of servers, the least."
    )
    journal_replicas: Sample = sampled("parvis_broker_journal_replicas", "Replicas of the journal's server (the fewest of any).")
    journal_available: Sample = sampled("parvis_broker_journal_available", "1 while the journal answers.")
    commit: CommitCounters = nested(CommitCounters)


@dataclass(slots=True)
class DirectoryCounters:
    """What one node sees of its cluster, and does for it."""

    map_version: Sample = sampled("parvis_directory_map_version", "The slot map that this node knows; the same on all nodes.")
    shards_alive: Sample = sampled(
        "parvis_directory_members", "Members of the cluster, as this node sees them.", role="shard", state="alive"
    )
    shards_missing: Sample = sampled(
        "parvis_directory_members", "Members of the cluster, as this node sees them.", role="shard", state="missing"
    )
    gateways_alive: Sample = sampled(
        "parvis_directory_members", "Members of the cluster, as this node sees them.", role="gateway", state="alive"
    )
    gateways_missing: Sample = sampled(
        "parvis_directory_members", "Members of the cluster, as this node sees them.", role="gateway", state="missing"
    )
    is_steward: Sample = sampled("parvis_directory_steward", "1 on the shard that writes the slot map; one in a cluster.")
    maps_written: int = counter("parvis_directory_maps_written_total", "Slot maps that this node wrote as steward.")
    hints_confirmed: int = counter(
        "parvis_directory_hints_confirmed_total", "Shards found gone by knocking, before their lease ended."
    )
    failures: int = counter("parvis_directory_failures_total", "Attempts to use the directory's store that failed.")
    seconds_since_look: Sample = sampled(
        "parvis_directory_look_age_seconds", "Since this node last read the directory with success."
    )


@dataclass(slots=True)
class ProcessCounters:
    """What concerns a whole process, whatever roles it has."""

    build: dict[str, str] = info("parvis_build_info", "Version of the program and of its Python.")
    draining: Sample = sampled("parvis_draining", "1 once the process is on its way out.")
    loop_lag_seconds: Histogram = histogram(
        PAUSE_BOUNDS_S, "parvis_event_loop_lag_seconds", "How much later than asked a sleeping task woke."
    )
    gc_collections: LabelCounts = counter_by(
        "generation", GC_GENERATIONS, "parvis_gc_collections_total", "Garbage collections."
    )
    gc_pause_seconds: Histogram = histogram(PAUSE_BOUNDS_S, "parvis_gc_pause_seconds", "How long a garbage collection took.")
    fds_open: Sample = sampled("parvis_fds_open", "File descriptors in use.")
    fds_max: Sample = sampled("parvis_fds_limit", "File descriptors that the process may use.")
    resident_bytes: Sample = sampled("parvis_resident_memory_bytes", "Memory of the process.")
    cpu_seconds: Sample = sampled("parvis_cpu_seconds_total", "Processor time, user and system.", kind="counter")


@dataclass(slots=True)
class WorkerCounters:
    """The parent of a gateway that runs as several processes."""

    workers: int = gauge("parvis_workers", "Worker processes that this gateway is made of.")
    up: Sample = sampled("parvis_workers_up", "Worker processes that are serving.")
    restarts: Sample = sampled("parvis_worker_restarts_total", "Workers that ended and were started again.", kind="counter")


COUNTER_CLASSES: Final[tuple[Any, ...]] = (
    GatewayCounters, RouterCounters, BrokerCounters, CommitCounters, DirectoryCounters, ProcessCounters, WorkerCounters,
)  # fmt: skip
