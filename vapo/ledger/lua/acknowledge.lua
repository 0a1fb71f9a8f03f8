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
if redis.call('HGET', KEYS[1], 'state') == 'scored' then
  redis.call('SREM', prefix .. 'admitted', id)
  redis.call('HINCRBY', prefix .. 'counters', 'trained', 1)
  redis.call('HSET', KEYS[1], 'state', 'trained')
end
if redis.call('HGET', KEYS[1], 'state') == 'trained' then
  redis.call('HSET', KEYS[1], 'state', 'acknowledged')
  redis.call('RPUSH', prefix .. 'finished', id)
end
return first
