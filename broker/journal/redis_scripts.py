"""What the Redis journal runs inside Redis: small scripts that verify, then store.

A script is one step for everybody, but not one that is undone: what it wrote before an error
stays.  So each one reads and judges before its first write, and writes the head last, which
is what makes entries part of the log.  The first line (``#!lua``) has Redis refuse the whole
script beforehand on a full memory (OOM), on a replica (READONLY), on a failing disk (MISCONF)
or with too few replicas (NOREPLICAS): none of these can come up half-way.
"""

from runtime.redis_client import Script

# Arguments of one call that `unpack` puts on Lua's stack: it takes 8,000.
_STEP = 1000

OPEN = Script("""#!lua
-- KEYS: journal.  ARGV: format, a new store id.  Makes the journal unless there is one.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'store_id', ARGV[2], 'map_version', '0')
end
return redis.call('HMGET', KEYS[1], 'format', 'store_id', 'map_version', 'unfinished')
""")

RAISE_MAP = Script("""#!lua
-- KEYS: journal.  ARGV: a map version, format, store id.  Answers the newest, which is never older than the one asked for.
-- A store that lost everything is given back whose it is: the rooms that follow keep their epochs.
if redis.call('HEXISTS', KEYS[1], 'store_id') == 0 then
  redis.call('HSET', KEYS[1], 'format', ARGV[2], 'store_id', ARGV[3])
end
local newest = tonumber(redis.call('HGET', KEYS[1], 'map_version') or '0')
if tonumber(ARGV[1]) > newest then
  redis.call('HSET', KEYS[1], 'map_version', ARGV[1])
  newest = tonumber(ARGV[1])
end
return newest
""")

CLAIM = Script("""#!lua
-- KEYS: slot.  ARGV: map version, owner.  Answers the new term, or a newer map's version below zero.
local map = tonumber(redis.call('HGET', KEYS[1], 'map') or '0')
if tonumber(ARGV[1]) < map then return -map end
local term = redis.call('HINCRBY', KEYS[1], 'term', 1)
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'map', ARGV[1])
return term
""")

_COMMIT_BEGINS = """
if redis.call('HGET', KEYS[1], 'term') ~= ARGV[1] then return 0 end
local room = redis.call('HMGET', KEYS[2], 'head', 'at', 'first', 'rows')
local base, rows = room[1] or '', room[4] or '0'
if base ~= ARGV[2] or rows ~= ARGV[8] then return {base, room[2] or '0', rows} end
"""

_COMMIT_APPENDS = f"""
for i = fixed + 1, entries, {_STEP} do
  redis.call('HSET', KEYS[3], unpack(ARGV, i, math.min(entries, i + {_STEP - 1})))
end
for i = entries + 1, ids, {_STEP} do
  redis.call('RPUSH', KEYS[4], unpack(ARGV, i, math.min(ids, i + {_STEP - 1})))
end
if ARGV[5] == '1' and base ~= '' then
  local last, epoch = string.match(string.sub(base, 17), '^(%d+) (.*)$')
  redis.call('HSET', KEYS[5], epoch, table.concat({{room[3], last, room[2], string.sub(base, 1, 16)}}, ' '))
end
"""

_COMMIT_ERASES = """
for i = erasures + 1, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[3], ARGV[i]) == 1 then redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
end
"""

_COMMIT_ENDS = """
if ARGV[5] == '1' or base == '' then
  redis.call('HSET', KEYS[2], 'head', ARGV[3], 'at', ARGV[4], 'first', '1')
else
  redis.call('HSET', KEYS[2], 'head', ARGV[3], 'at', ARGV[4])
end
return 1
"""

COMMIT = Script(f"""#!lua
-- KEYS: slot, room, log, ids, ends.  ARGV: term, base, head, at, 1 for a new epoch, number of entries, of ids, the
-- sequence of tables it builds on, then offset and entry for each, each id, offset and tombstone for each erasure of an
-- older entry.
-- Answers 1 when it is stored, 0 when it is fenced, head and sequence that are here when those are not the base.
{_COMMIT_BEGINS}
local fixed, entries = 8, 8 + 2 * ARGV[6]
local ids = entries + ARGV[7]
local erasures = ids
{_COMMIT_ERASES}
if entries == fixed then return 1 end
{_COMMIT_APPENDS}
{_COMMIT_ENDS}""")

COMMIT_TABLES = Script(f"""#!lua
-- The same for a write with rows or a snapshot, or that ends an epoch: by itself, since most writes are none, and each
-- argument costs them 0.1 us.
-- KEYS: also rows, snapshot.  ARGV: after the first eight the sequence after it, number of rows, the snapshot or nothing;
-- after the ids, for each row its name and its value behind a NUL, or nothing when it goes.
{_COMMIT_BEGINS}
local fixed, entries = 11, 11 + 2 * ARGV[6]
local ids = entries + ARGV[7]
local erasures = ids + 2 * ARGV[10]
{_COMMIT_ERASES}
{_COMMIT_APPENDS}
for i = ids + 1, erasures, 2 do
  redis.call('ZREMRANGEBYLEX', KEYS[6], '[' .. ARGV[i] .. '\\0', '(' .. ARGV[i] .. '\\1')
  if ARGV[i + 1] ~= '' then redis.call('ZADD', KEYS[6], '0', ARGV[i] .. ARGV[i + 1]) end
end
if ARGV[11] ~= '' then
  redis.call('SET', KEYS[7], ARGV[11])
elseif ARGV[5] == '1' then
  redis.call('DEL', KEYS[7])
end
if ARGV[9] ~= ARGV[8] then redis.call('HSET', KEYS[2], 'rows', ARGV[9]) end
if entries == fixed then return 1 end
{_COMMIT_ENDS}""")

LOAD = Script("""#!lua flags=no-writes
-- KEYS: room, ids, snapshot.  ARGV: prefix of its logs, events, bytes, ids.  Answers head, at, first, the sequence of its
-- tables, the tail, the newest ids and the snapshot; the tail newest first, a little longer than `bytes`.  Nothing for a
-- room that was never written.
local room = redis.call('HMGET', KEYS[1], 'head', 'at', 'first', 'rows')
if not room[1] then return false end
local last, epoch = string.match(string.sub(room[1], 17), '^(%d+) (.*)$')
local first, upto = math.max(tonumber(room[3]), last - ARGV[2] + 1), tonumber(last)
local tail, size = {}, 0
while upto >= first and size <= tonumber(ARGV[3]) do
  local from, names = math.max(first, upto - 99), {}
  for offset = upto, from, -1 do names[#names + 1] = string.format('%.0f', offset) end
  for _, entry in ipairs(redis.call('HMGET', ARGV[1] .. epoch, unpack(names))) do
    tail[#tail + 1] = entry
    if entry then size = size + #entry end
  end
  upto = from - 1
end
local ids = redis.call('LRANGE', KEYS[2], -ARGV[4], -1)
return {room[1], room[2], room[3], room[4] or '0', tail, ids, redis.call('GET', KEYS[3])}
""")

READ = Script(f"""#!lua flags=no-writes
-- KEYS: room, ends, log.  ARGV: epoch, after, limit.  Answers the entries, oldest first.
local room = redis.call('HMGET', KEYS[1], 'head', 'first')
if not room[1] then return {{}} end
local last, epoch = string.match(string.sub(room[1], 17), '^(%d+) (.*)$')
local first = room[2]
if epoch ~= ARGV[1] then
  local ended = redis.call('HGET', KEYS[2], ARGV[1])
  if not ended then return {{}} end
  first, last = string.match(ended, '^(%d+) (%d+) ')
end
first = math.max(tonumber(first), ARGV[2] + 1)
last = math.min(tonumber(last), first + ARGV[3] - 1)
local found = {{}}
for from = first, last, {_STEP} do
  local names = {{}}
  for offset = from, math.min(last, from + {_STEP - 1}) do names[#names + 1] = string.format('%.0f', offset) end
  for _, entry in ipairs(redis.call('HMGET', KEYS[3], unpack(names))) do found[#found + 1] = entry end
end
return found
""")

FORGET = Script(f"""#!lua
-- KEYS: room, ends, log.  ARGV: epoch, the last offset to go.  Forgets the next {_STEP} entries up to it, or all at
-- once when none is to stay; answers how many are still to go.
local room = redis.call('HMGET', KEYS[1], 'head', 'first')
if not room[1] then return 0 end
local last, epoch = string.match(string.sub(room[1], 17), '^(%d+) (.*)$')
local first, rest = room[2], nil
if epoch ~= ARGV[1] then
  local ended = redis.call('HGET', KEYS[2], ARGV[1])
  if not ended then return 0 end
  first, last, rest = string.match(ended, '^(%d+) (%d+) (.*)$')
end
first, last = tonumber(first), tonumber(last)
local upto = math.min(tonumber(ARGV[2]), last)
if first > upto then return 0 end
local done = math.min(upto, first + {_STEP - 1})
if upto == last then done = last end
local kept = string.format('%.0f', done + 1)
if rest then
  redis.call('HSET', KEYS[2], ARGV[1], table.concat({{kept, string.format('%.0f', last), rest}}, ' '))
else
  redis.call('HSET', KEYS[1], 'first', kept)
end
if done == last then
  redis.call('UNLINK', KEYS[3])
else
  local names = {{}}
  for offset = first, done do names[#names + 1] = string.format('%.0f', offset) end
  redis.call('HDEL', KEYS[3], unpack(names))
end
return upto - done
""")

TRIM_IDS = Script("""#!lua
-- KEYS: ids.  ARGV: how many of the oldest go, the oldest of all.  Nothing when another call was here first.
if redis.call('LINDEX', KEYS[1], 0) == ARGV[2] then redis.call('LTRIM', KEYS[1], ARGV[1], -1) end
return 1
""")
