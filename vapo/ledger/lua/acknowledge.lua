-- A durable checkpoint holds this rollout's effect. KEYS: rollout hash, scored stream.
-- ARGV: prefix, group, entry, rollout id. Returns 1 acknowledged, 0 was already.
redis.replicate_commands()
local prefix, group, entry, id = unpack(ARGV)
local first = redis.call('XACK', KEYS[2], group, entry)
redis.call('XDEL', KEYS[2], entry)
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
