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

COMMIT = Script(f"""#!lua
-- KEYS: slot, room, log, ids, ends.  ARGV: term, base, head, at, 1 for a new epoch, number of entries, of ids, then
-- offset and entry for each, each id, offset and tombstone for each erasure of an older entry.
-- Answers 1 when it is stored, 0 when it is fenced, the head that is here when that is not the base.
if redis.call('HGET', KEYS[1], 'term') ~= ARGV[1] then return 0 end
local room = redis.call('HMGET', KEYS[2], 'head', 'at', 'first')
local base = room[1] or ''
if base ~= ARGV[2] then return {{base, room[2] or '0'}} end
local entries, ids = 7 + 2 * ARGV[6], 7 + 2 * ARGV[6] + ARGV[7]
for i = ids + 1, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[3], ARGV[i]) == 1 then redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
end
if entries == 7 then return 1 end
for i = 8, entries, {_STEP} do
  redis.call('HSET', KEYS[3], unpack(ARGV, i, math.min(entries, i + {_STEP - 1})))
end
for i = entries + 1, ids, {_STEP} do
  redis.call('RPUSH', KEYS[4], unpack(ARGV, i, math.min(ids, i + {_STEP - 1})))
end
if ARGV[5] == '1' and base ~= '' then
  local last, epoch = string.match(string.sub(base, 17), '^(%d+) (.*)$')
  redis.call('HSET', KEYS[5], epoch, table.concat({{room[3], last, room[2], string.sub(base, 1, 16)}}, ' '))
end
if ARGV[5] == '1' or base == '' then
  redis.call('HSET', KEYS[2], 'head', ARGV[3], 'at', ARGV[4], 'first', '1')
else
  redis.call('HSET', KEYS[2], 'head', ARGV[3], 'at', ARGV[4])
end
return 1
""")

LOAD = Script("""#!lua flags=no-writes
-- KEYS: room, ids.  ARGV: prefix of its logs, events, bytes, ids.  Answers head, at, first, the tail and the
-- newest ids; the tail newest first, a little longer than `bytes`.  Nothing for a room that was never written.
local room = redis.call('HMGET', KEYS[1], 'head', 'at', 'first')
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
return {room[1], room[2], room[3], tail, redis.call('LRANGE', KEYS[2], -ARGV[4], -1)}
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
