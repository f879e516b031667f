"""Every bound of the program, written down once.

Units are in the names.  Where one bound leans on another, `tests/wire/test_limits.py`
holds the relation; where an operator may change one, the setting of the same name
starts from the value here.
"""

# --- names -------------------------------------------------------------------------
ROOM_NAMESPACE_CHARS_MAX = 32
ROOM_LOCAL_CHARS_MAX = 64
ROOM_NAME_CHARS_MAX = ROOM_NAMESPACE_CHARS_MAX + 1 + ROOM_LOCAL_CHARS_MAX
MESSAGE_ID_CHARS_MAX = 64
AUTHOR_ID_CHARS_MAX = 64
CLIENT_NAME_CHARS_MAX = 64
TOKEN_CHARS_MAX = 1024
# A JWT with the longest issuer, subject and name in use and a page of capabilities is half as long.
CONNECTION_TOKEN_CHARS_MAX = 4096
EPOCH_CHARS_MAX = 32

# --- what people write ---------------------------------------------------------------
# 500 graphemes, 4 combining marks a base, 5 line breaks: enough for an argument, too little
# for a wall (THREATS, public speech).  The byte bound is the worst honest case: 500 emoji of
# four bytes joined in families stay below it.
TEXT_GRAPHEMES_MAX = 500
TEXT_BYTES_MAX = 8 * 1024
TEXT_COMBINING_MARKS_MAX = 4
TEXT_LINE_BREAKS_MAX = 5
NICKNAME_GRAPHEMES_MAX = 32
NICKNAME_BYTES_MAX = 128

# --- client frames ---------------------------------------------------------------------
# 64 KiB from a client: 900 kB of nested empty maps became 73 MiB in a lenient decoder.
CLIENT_FRAME_BYTES_MAX = 64 * 1024
CLIENT_FRAGMENTS_MAX = 64
# Final blocks in one deflated message: each costs an inflater, and an honest message has one or none.
DEFLATE_FINAL_BLOCKS_MAX = 64
# 123, not 125: a control frame carries 125 bytes and the code takes two (RFC 6455, 5.5).
CLOSE_REASON_BYTES_MAX = 123
HANDSHAKE_BYTES_MAX = 8 * 1024
HANDSHAKE_HEADERS_MAX = 64
HANDSHAKE_DEADLINE_S = 10.0
CLOSE_GRACE_S = 2.0
CONTROL_FRAMES_PER_S_MAX = 20

# --- who may come in, and how much all of them may do ------------------------------------
# An IPv6 address has at most 45 characters, and a zone may follow it.
ADDRESS_CHARS_MAX = 64
# What proxies append (TLS names, cloud ids) is some hundred bytes; a client's certificate may be among it.
PROXY_HEADER_BYTES_MAX = 4 * 1024
# Proxies one behind the other: more than anybody runs, and a bound on what one header can make us read.
FORWARDED_HOPS_MAX = 16
# An IPv4 address may be a family, a school, or a carrier's thousands; an IPv6 /64 is one household.
ADDRESS_CONNECTIONS_MAX = 500
# A wave of reconnects comes within seconds, so the burst is half of what may be connected.
ADDRESS_CONNECT_RATE_PER_S = 20.0
ADDRESS_CONNECT_BURST = 250
# A network writes and joins as much as so many of its people at once.
ADDRESS_RATE_FACTOR = 40.0
# Tabs, a phone, a second screen; and each may come back a few times within half a minute.
USER_CONNECTIONS_MAX = 20
USER_CONNECT_RATE_PER_S = 1.0
USER_CONNECT_BURST = 40
# Two devices at full speed: more tabs make nobody louder.
USER_RATE_FACTOR = 2.0
# Twice what DESIGN's hottest room says (500 a second), of one gateway: what nobody can read any more
# may not starve the rooms beside it.
ROOM_PUBLISH_RATE_PER_S = 1000.0
ROOM_PUBLISH_BURST = 2000
# As fast as a gateway lets people in: a room that everybody is sent to fills no faster than by hellos.
ROOM_JOIN_RATE_PER_S = 1000.0
ROOM_JOIN_BURST = 5000
# Buckets of one limit at 170 bytes each: at GATEWAY_ACCEPTS_PER_S new addresses a second 12,500 are not full
# yet, so that these are reached only by settings that fill a bucket in more than 30 s.
ADMISSION_KEYS_MAX = 32_768

# --- one client --------------------------------------------------------------------------
ROOMS_PER_CLIENT_MAX = 128
JOINS_PER_HELLO_MAX = ROOMS_PER_CLIENT_MAX
PUBLISHES_IN_FLIGHT_PER_CLIENT_MAX = 64
BAD_MESSAGES_PER_CONNECTION_MAX = 10
PING_INTERVAL_S = 25.0
# Dead at 60 s at the latest (THREATS): a ping goes out every 25 s, the answer may take 10.
PONG_TIMEOUT_S = 10.0
CLIENT_PING_SLACK_S = 10.0
PUBLISH_RATE_PER_S = 5.0
PUBLISH_BURST = 20
JOIN_RATE_PER_S = 10.0
JOIN_BURST = ROOMS_PER_CLIENT_MAX
HISTORY_RATE_PER_S = 5.0
HISTORY_BURST = 20
# A token is refreshed once in half of its life.  A check of a signature costs 0.1 ms at most, so a client that asks for
# them as fast as it may costs a thousandth of what it costs to connect anew.
TOKEN_REFRESH_RATE_PER_S = 0.2
TOKEN_REFRESH_BURST = 5

# --- tokens -------------------------------------------------------------------------------
# From a token's issue to its expiry (THREATS, accounts and tokens): what was revoked is remembered for that long.
TOKEN_LIFETIME_MAX_S = 600.0
# How far an issuer's clock may run ahead of a gateway's.
TOKEN_LEEWAY_S = 10.0
# A client whose refresh is under way, or whose issuer is away for a moment, keeps its connection (SEMANTICS, R58).
TOKEN_GRACE_S = 25.0
TOKEN_KEYS_MAX = 16
TOKEN_KEYS_BYTES_MAX = 64 * 1024
# A new key is published before the first token is signed with it; so soon every gateway has it.
TOKEN_KEYS_LOOK_INTERVAL_S = 2.0
CAPABILITY_PATTERNS_MAX = 64
# At most 200 B each: 2 MiB of a gateway.  Those beyond it are widened to everybody, who fetch new tokens.
REVOCATIONS_MAX = 10_000
# A shard that dies is replaced within 3 s; a gateway that hears nothing for longer does not let strangers speak.
CONTROL_DOUBT_S = 10.0

# --- outbox and fan-out --------------------------------------------------------------------
# What a reader may be behind the head before it is told to resume: the rest of a cut buffer
# plus what its cursor still has to read.  Below it costs nothing: the frames are the ring's.
OUTBOX_BEHIND_BYTES_MAX = 256 * 1024
OUTBOX_CONTROL_BYTES_MAX = 64 * 1024
# Longer than a phone's change of cell: who drops out every few seconds is not given all that it will not take.
LADDER_CLIMB_S = 5.0
# Events of which a selection is made at once.  More would make a sampled reader's newest event older, fewer be less fair.
SAMPLE_BLOCK_EVENTS = 32
SEND_BUFFER_BYTES = 32 * 1024
# Less than the send buffer: a healthy reader's empty socket takes a whole pass, so that a busy room
# does not turn its readers into slow ones.
PASS_BUFFER_BYTES_MAX = 24 * 1024
PASS_VISIT_S = 0.001
# Shorter events are not worth deflating: figures in docs/decisions/shared-deflate.md.
DEFLATE_BYTES_MIN = 160
FEED_RING_BYTES_MAX = 1024 * 1024
FEED_RING_EVENTS_MAX = 1000
FEED_RING_AGE_S = 60.0
FEED_LINGER_S = 30.0
# What a feed reads to close a hole: ten pages of history.  More than that is behind a reader's back already.
FEED_REPAIR_EVENTS_MAX = 3000
# So long without a page, and what is missing is told as skipped: what came after it waits.
FEED_REPAIR_WAIT_S = 3.0
# Above this many local members a room's passes are held to a ceiling of so many a second.
WINDOW_MEMBERS_MIN = 2000
WINDOW_PASSES_PER_S = 10.0

# --- TLS at a gateway ----------------------------------------------------------------------------
# A hello with the keys of a post-quantum exchange is 1.8 KiB, the rest of a client's handshake a few
# hundred bytes; OpenSSL alone would take 128 KiB of each of a thousand strangers.
TLS_HANDSHAKE_BYTES_MAX = 16 * 1024
# OpenSSL's buffers in memory keep the size of the largest they held, so they are given little at a time:
# what each idle connection keeps is a few KiB and not the 24 of a pass.
TLS_RECORD_BYTES = 4 * 1024
TLS_READ_BYTES = 4 * 1024
# The largest record comes whole in five reads.
TLS_READS_PER_RECV_MAX = 8
# Encrypted at once: a pass, so that it is one send as it is without TLS.
TLS_WRITE_BYTES_MAX = PASS_BUFFER_BYTES_MAX
# A cut pass with its records' headers, and 8 KiB of TLS's own answers (an answer is 27 bytes).
TLS_UNSENT_BYTES_MAX = TLS_WRITE_BYTES_MAX + 8 * 1024
# How often a gateway looks whether its certificate's files have changed; it takes what two looks found the same.
TLS_LOOK_INTERVAL_S = 2.0

# --- head counts -------------------------------------------------------------------------------
# A count that travels alone costs what an event costs: a send to every local member (SEMANTICS,
# R86: up to a hundred people at once, above them every five seconds).  So it waits this long after
# the last one where it has changed by a share, longer in proportion where by less.
COUNT_WAIT_MIN_S = 1.0
COUNT_WAIT_MAX_S = 5.0
# One person of a hundred: in rooms up to that size every change is worth the shorter wait.
COUNT_SHARE_MIN = 0.01
COUNT_SMALL_ROOM_MEMBERS_MAX = 100
# What counts alone may cost a gateway: 2 % of the 200,000 deliveries of a CPU-second, half of it for small rooms.
COUNT_SENDS_PER_S_MAX = 4000.0
# The longest window in which different people are counted.
SKETCH_MINUTES_MAX = 60
# Who is still here is seen again once a minute; a hash and a look are 2 us, so 4 ms of a gateway's second.
SEEN_PER_TICK_MAX = 2000
SEEN_REPORT_INTERVAL_S = 2.0
# A whole sketch of a crowd has some 20 KiB: a shard that takes over is told ten such rooms at a time.
SEEN_REPORT_BYTES_MAX = 256 * 1024
# Estimates of one room are at least so far apart, and a shard looks at so many registers in a tick (10 ms).
SEEN_ESTIMATE_INTERVAL_S = 5.0
SEEN_REGISTERS_PER_TICK_MAX = 10_000
# Counts that wait are sent in slices of this: 20 wake-ups a second, however small the rooms are.
COUNT_SLICE_S = 0.05

# --- rooms ------------------------------------------------------------------------------------
ROOM_TAIL_EVENTS_MAX = 1000
ROOM_TAIL_BYTES_MAX = 1024 * 1024
HISTORY_EVENTS_MAX = 300
HISTORY_BYTES_MAX = 512 * 1024
JOIN_HISTORY_EVENTS_DEFAULT = 50
MESSAGE_ID_WINDOW_S = 300.0
MESSAGE_IDS_PER_ROOM_MIN = 1000
MESSAGE_IDS_PER_ROOM_MAX = 50_000
ROOMS_LOADED_MAX = 10_000
ROOM_PENDING_EVENTS_MAX = 10_000
EDITS_PER_MESSAGE_MAX = 20
# Ended epochs that a room can tell from unknown ones: as many as there can be links to name one.
ROOM_PAST_EPOCHS_MAX = 256

# --- tables and snapshots of a room -----------------------------------------------------------
TABLE_NAME_CHARS_MAX = 32
# A person, alone or after what it is about: AUTHOR_ID_CHARS_MAX letters of four bytes, and 64 bytes for the rest.
ROW_KEY_BYTES_MAX = 4 * AUTHOR_ID_CHARS_MAX + 64
# A choice, a few numbers, or the name that somebody signs with.
ROW_VALUE_BYTES_MAX = 1024
# Redis takes 3 to 4 us a row and serves nobody else meanwhile: a write holds it up for 4 ms at most.
ROWS_PER_WRITE_MAX = 1000
# What a load reads before the tail; as much as one group may write at all.
SNAPSHOT_BYTES_MAX = 256 * 1024
# Rows that a room keeps for a journal that forgets: everybody in a room of 10,000 votes twice.
ROOM_RECENT_ROWS_MAX = 20_000
ROOM_RECENT_ROWS_BYTES_MAX = 4 * 1024 * 1024

# --- one shard -----------------------------------------------------------------------------------
# What publishers of all rooms may have decided and not yet committed, in bytes of text and
# bookkeeping; above it a publish is refused as busy.
SHARD_PENDING_BYTES_MAX = 64 * 1024 * 1024
# Commands that wait for one room to be loaded; above it they are refused as busy.
LOADING_COMMANDS_MAX = 1000
ROOMS_LOADING_MAX = 2000
READS_WAITING_MAX = 1000
RELOAD_INTERVAL_S = 1.0
# A room is trimmed in the journal once in so many events, and at most so often: a trim of a room
# with 50,000 live ids holds up the lane for some 50 ms.
RETENTION_EVERY_EVENTS = 1000
RETENTION_INTERVAL_S = 30.0
# Where events are kept for a time (journal.keep_days), each loaded room is looked at so often, and so many in each of
# the SIGNALS_PER_S_MAX ticks a second: ROOMS_LOADED_MAX rooms take half of the interval.
AGE_RETENTION_INTERVAL_S = 600.0
AGE_RETENTIONS_PER_TICK_MAX = 8
LINKS_PER_SHARD_MAX = 256

# --- links ---------------------------------------------------------------------------------------
LINK_FRAME_BYTES_MAX = 8 * 1024 * 1024
LINK_UP_BYTES_MAX = 4 * 1024 * 1024
LINK_DOWN_BYTES_MAX = 4 * 1024 * 1024
# What events and replies with history may fill of a down-link; the rest is kept for answers to
# publishers and for `Reattach`, so that a link full of events can still say so.
LINK_DOWN_EVENTS_BYTES_MAX = 3 * 1024 * 1024
LINK_REQUESTS_MAX = 20_000
LINK_PING_INTERVAL_S = 1.0
LINK_DEAD_AFTER_S = 5.0
LINK_HELLO_DEADLINE_S = 5.0
PUBLISH_WAIT_S = 10.0
MEMBERS_REPORT_INTERVAL_S = 2.0
# A sum that was not renewed for three intervals is dropped (DESIGN, section 10).
MEMBERS_SUM_EXPIRES_S = 3 * MEMBERS_REPORT_INTERVAL_S
SIGNALS_PER_S_MAX = 4.0
# Full jitter up to 0.1 s, doubling to 2 s: people's publishes wait PUBLISH_WAIT_S for a shard that
# restarts, and 64 gateways that knock every 2 s cost it nothing.
LINK_RETRY_BASE_S = 0.1
LINK_RETRY_CAP_S = 2.0
# Text that one router holds for one shard until it is answered, in characters: with
# LINK_REQUESTS_MAX commands of 128 letters there is room for half as much again.
LINK_HELD_CHARS_MAX = 4 * 1024 * 1024
MOVED_RETRY_S = 0.25
# A feed asks for its room at most once in this time: a full down-link must not be filled by replies to `Reattach`.
ATTACH_AGAIN_S = 0.25
ROUTER_TICK_S = 0.05

# --- commit ------------------------------------------------------------------------------------------
COMMIT_WRITES_MAX = 500
COMMIT_BYTES_MAX = 256 * 1024
# What one room may put into one group while others wait: a hot room cannot fill it alone.
COMMIT_ROOM_BYTES_MAX = COMMIT_BYTES_MAX // 4
# Heads that one group verifies after the store has changed (a write of nothing each): 10,000 rooms take
# 100 groups, about a second, and a group with room for publishers too.
COMMIT_VERIFIED_MAX = COMMIT_WRITES_MAX // 5
# Group commits begin at least so far apart while more is coming; an idle shard's first write waits
# for nothing.  At 1,500 publishes a second into one SQLite room: 126 us of CPU a publish, 175 groups
# a second and 4.5 ms to the answer (p50); without spacing 516 us, 1,195 groups and 1.1 ms.
COMMIT_SPACING_S = 0.005
COMMIT_DEADLINE_S = 5.0
# A journal that cannot be reached is asked again after up to 0.1 s, doubling to 0.5 s: people wait for it, and 64 shards ask
# it 256 times a second together.  With 2 s a store that was away for 1.1 s cost them 3.2 s, so 2.4.
CLAIM_RETRY_BASE_S = 0.1
CLAIM_RETRY_CAP_S = 0.5
# A shard that is fenced though its map is the newest claims its slots back; so often within so long,
# and somebody else runs under its name: it steps down.
FENCES_MAX = 4
FENCES_WITHIN_S = 60.0
# So long without a write, the journal tidies up (SQLite: empties its write-ahead log).
JOURNAL_IDLE_AFTER_S = 1.0
# So often the store is asked whether it is still the one it was: rooms that nobody writes to are told
# within about so long that it has forgotten their last events.
STORE_LOOK_INTERVAL_S = 1.0
# So long a slot that moves away is held to write again what the store has forgotten of it: ten groups of
# heads to verify and what they bring up; without a failover just before it is one look at the store.
MEND_BEFORE_MOVE_S = 0.2

# --- reconnecting ------------------------------------------------------------------------------------
RECONNECT_BASE_S = 0.5
RECONNECT_CAP_S = 20.0
# A handshake that never opened is tried again after a random time between these: the server is
# down or over its hard budget, and could not say when to come back.
RECONNECT_UNOPENED_MIN_S = 1.0
RECONNECT_UNOPENED_MAX_S = 10.0
DRAIN_DEADLINE_S = 10.0
# A balancer that looks every second has seen `/readyz` say no before the door is closed.
DRAIN_NOTICE_S = 1.5
# Processes of one gateway: more than any commodity server has cores.
WORKERS_MAX = 256
# What one gateway can take in beside its readers: the measured 3,000 handshakes per CPU-second,
# a third of it, so that readers who stay notice nothing.
GATEWAY_ACCEPTS_PER_S = 1000.0

# --- the Python client ---------------------------------------------------------------------------------
# The largest message of a gateway is a page of history; in JSON each of its bytes may be escaped.
SERVER_MESSAGE_BYTES_MAX = 4 * HISTORY_BYTES_MAX
# Longer than PUBLISH_WAIT_S: the gateway's own answer comes first unless the connection is lost.
CLIENT_REQUEST_WAIT_S = 30.0
CLIENT_REQUESTS_MAX = 256
CLIENT_OUTGOING_MESSAGES_MAX = 1000
CLIENT_UPDATES_WAITING_MAX = 10_000
CLIENT_UPDATES_BYTES_MAX = 8 * 1024 * 1024
# A gap that was not announced is repaired so often on one connection, then the connection is at fault.
CLIENT_REPAIRS_PER_CONNECTION_MAX = 3

# --- redis ---------------------------------------------------------------------------------------------
# Far above any answer of a healthy Redis, and far below COMMIT_DEADLINE_S: a lane learns of a dead
# connection before its caller stops waiting.
REDIS_TIMEOUT_S = 1.0

# --- directory -----------------------------------------------------------------------------------------
# DESIGN, section 8: three renewals fit into a lease, so one that is lost or late costs nothing.
LEASE_RENEWAL_S = 0.5
LEASE_S = 1.5
MAP_POLL_S = 0.2
# A store that is away is tried again after up to this, doubling to MAP_POLL_S: who hears late that it is back
# is missing a lease after the others' first read.
DIRECTORY_RETRY_BASE_S = 0.05
# What a shard may write in one turn (a plan, a map, what follows from them) before it looks after its own renewal.
DIRECTORY_STEPS_MAX = 8
# A link port that refuses does so in a round trip; the rest is silence, and proves nothing.
PROBE_DEADLINE_S = 0.5
# A member that was missing so long is taken off the list; an operator has seen it there by then.
MEMBER_FORGOTTEN_S = 600.0
# Attempts to edit the plan while others edit it, too: each failure means that another edit succeeded.
PLAN_EDIT_ATTEMPTS_MAX = 20

# --- cluster -----------------------------------------------------------------------------------------
SLOT_COUNT = 4096
SHARDS_MAX = 64
