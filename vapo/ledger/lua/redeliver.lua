-- Undo mark_trained for a rollout whose checkpoint was lost. KEYS: rollout hash.
-- ARGV: prefix, rollout id. Returns its state now.
redis.replicate_commands()
local prefix, id = unpack(ARGV)
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'trained' then
  redis.call('HSET', KEYS[1], 'state', 'scored')
  redis.call('HDEL', KEYS[1], 'training', 'trained_at')
  redis.call('SADD', prefix .. 'admitted', id)
  redis.call('HINCRBY', prefix .. 'counters', 'trained', -1)
  return 'scored'
end
return state or ''
