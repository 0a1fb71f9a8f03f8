-- Undo mark_trained for a rollout whose checkpoint was lost. KEYS: rollout hash.
-- ARGV: prefix, rollout id. Returns its state now.
redis.replicate_commands()
local prefix, id = unpack(ARGV)
local state = redis.call('HGET', KEYS[1], Field.STATE)
if state == Before.UNSAVED then
  redis.call('HSET', KEYS[1], Field.STATE, After.UNSAVED)
  redis.call('HDEL', KEYS[1], Field.TRAINING, Before.UNSAVED .. Field.AT_SUFFIX)
  redis.call('SADD', prefix .. Key.ADMITTED, id)
  redis.call('HINCRBY', prefix .. Key.COUNTERS, Total.TRAINED, -1)
  return After.UNSAVED
end
return state or ''
