"""The atomic steps of the directory, as Redis runs them.

Each script is one operation of `ClusterStore`.  Every key carries the tag ``{NAME}``, so all of a
cluster's directory lies on one primary, and a script sees and changes it at one moment.  None
reads a clock and no key expires: an hour's jump of the server's clock changes nothing.
"""

from typing import Final

LOOK: Final = """
local version = tonumber(redis.call('HGET', KEYS[2], 'version') or '0')
local map = false
if version ~= tonumber(ARGV[1]) then map = redis.call('HGET', KEYS[2], 'map') end
return {
  version, map, redis.call('GET', KEYS[3]), redis.call('HGETALL', KEYS[1]),
  redis.call('HMGET', KEYS[4], 'token', 'holder', 'incarnation'), redis.call('HGETALL', KEYS[5]),
  redis.call('GET', KEYS[6])
}
"""
"""members, map, plan, steward, hints, cluster; the version that the caller has."""

INTRODUCE: Final = """
local known = redis.call('GET', KEYS[1])
if known then
  local ours = false
  for _, each in ipairs(ARGV) do ours = ours or each == known end
  if not ours then return 0 end
end
if known ~= ARGV[1] then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
"""
"""cluster; the fingerprints, the one to be kept first."""

# What is no record of ours counts as nobody's: it may be replaced.
_INCARNATION: Final = """
local function incarnation_of(members, key)
  local stored = redis.call('HGET', members, key)
  if not stored then return '' end
  local is_json, record = pcall(cjson.decode, stored)
  if not is_json or type(record) ~= 'table' then return '' end
  return record.incarnation or ''
end
"""

PUT_MEMBER: Final = (
    _INCARNATION
    + """
local found = incarnation_of(KEYS[1], ARGV[1])
for place = 3, #ARGV do
  if found == ARGV[place] then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
    return 1
  end
end
return 0
"""
)
"""members; key, record, and the incarnations it may replace."""

REMOVE_MEMBER: Final = (
    _INCARNATION
    + """
if incarnation_of(KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
"""
)
"""members; key, incarnation."""

CAMPAIGN: Final = """
local token = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
if token ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'token', token + 1, 'holder', ARGV[2], 'incarnation', ARGV[3])
return 1
"""
"""steward; the token seen, key, incarnation."""

RESIGN: Final = """
local steward = redis.call('HMGET', KEYS[1], 'holder', 'incarnation')
if steward[1] == ARGV[1] and steward[2] == ARGV[2] then redis.call('HSET', KEYS[1], 'holder', '', 'incarnation', '') end
return 1
"""
"""steward; key, incarnation."""

WRITE_MAP: Final = """
local steward = redis.call('HMGET', KEYS[2], 'token', 'holder', 'incarnation')
if steward[1] ~= ARGV[1] or steward[2] ~= ARGV[2] or steward[3] ~= ARGV[3] then return 0 end
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[5], 'map', ARGV[6])
return 1
"""
"""map, steward; token, holder, incarnation, the version to be replaced, the new one, the map."""

WRITE_PLAN: Final = """
local stored = redis.call('GET', KEYS[1])
local version = 0
if stored then version = cjson.decode(stored).version or 0 end
if version ~= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
"""plan; the version to be replaced, the plan."""

CLEAR_HINT: Final = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
"""
"""hints; shard, incarnation."""
