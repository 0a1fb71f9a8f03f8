-- Free the slot of a rollout the trainer has used; it stays leased until its checkpoint is durable.
-- KEYS: rollout hash. ARGV: prefix, rollout id, body, time. Returns 1 marked, 0 not waiting.
redis.replicate_commands()
local prefix, id, body, time = unpack(ARGV)
if redis.call('HGET', KEYS[1], Field.STATE) ~= Before.TRAINED then return 0 end
redis.call('HSET', KEYS[1], Field.STATE, After.TRAINED, Field.TRAINING, body, After.TRAINED .. Field.AT_SUFFIX, time)
redis.call('SREM', prefix .. Key.ADMITTED, id)
redis.call('HINCRBY', prefix .. Key.COUNTERS, Total.TRAINED, 1)
return 1
