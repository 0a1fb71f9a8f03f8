-- A durable checkpoint holds this rollout's effect. KEYS: rollout hash, scored stream.
-- ARGV: prefix, group, entry, rollout id. Returns 1 acknowledged, 0 was already.
-- The entry goes even if a Redis that lost its last writes forgot the lease: nobody may train on it
-- again. One of another id stays.
redis.replicate_commands()
local prefix, group, entry, id = unpack(ARGV)
local first, found = 0, redis.call('XRANGE', KEYS[2], entry, entry)
if #found > 0 and found[1][2][2] == id then
  first = redis.call('XACK', KEYS[2], group, entry)
  redis.call('XDEL', KEYS[2], entry)
end
if redis.call('HGET', KEYS[1], Field.STATE) == Before.TRAINED then
  redis.call('SREM', prefix .. Key.ADMITTED, id)
  redis.call('HINCRBY', prefix .. Key.COUNTERS, Total.TRAINED, 1)
  redis.call('HSET', KEYS[1], Field.STATE, After.TRAINED)
end
if redis.call('HGET', KEYS[1], Field.STATE) == Before.SAVED then
  redis.call('HSET', KEYS[1], Field.STATE, After.SAVED)
  redis.call('RPUSH', prefix .. Key.FINISHED, id)
end
return first
