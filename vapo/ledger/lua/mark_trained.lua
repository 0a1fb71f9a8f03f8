-- Free the slot of a rollout the trainer has used; it stays leased until its checkpoint is durable.
-- KEYS: rollout hash. ARGV: prefix, rollout id, body, time. Returns 1 marked, 0 not waiting.
redis.replicate_commands()
local prefix, id, body, time = unpack(ARGV)
if redis.call('HGET', KEYS[1], 'state') ~= 'scored' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'trained', 'training', body, 'trained_at', time)
redis.call('SREM', prefix .. 'admitted', id)
redis.call('HINCRBY', prefix .. 'counters', 'trained', 1)
return 1
