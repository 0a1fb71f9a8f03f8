-- Store one finished response and pass it on. KEYS: rollout hash, task hash.
-- ARGV: prefix, rollout id, task id, sample, body, tokens, time. Returns 1 stored, 0 known already.
-- The task's record, which outlives payloads, says which samples exist: its fields `made:{sample}`.
redis.replicate_commands()
local prefix, id, task, sample, body, tokens, time = unpack(ARGV)
local wanted = redis.call('HGET', KEYS[2], Field.SAMPLES)
if not wanted or tonumber(sample) >= tonumber(wanted) then return 0 end
if redis.call('HSETNX', KEYS[2], Field.MADE_SAMPLE .. sample, time) == 0 then return 0 end
redis.call('HDEL', KEYS[2], Field.DEAD_SAMPLE .. sample)
redis.call('HSET', KEYS[1], Field.STATE, After.GENERATED, Field.TASK, task, Field.SAMPLE, sample,
           Field.GENERATED, body, Field.GENERATED .. Field.AT_SUFFIX, time)
redis.call('XADD', prefix .. Key.STREAM .. After.GENERATED, '*', Field.ID, id)
redis.call('ZADD', prefix .. Key.NEWEST, time, id)
local made = redis.call('HINCRBY', KEYS[2], Field.MADE, 1)
if made >= tonumber(wanted) then
  redis.call('HSET', KEYS[2], Field.STATE, State.DONE, State.DONE .. Field.AT_SUFFIX, time)
end
redis.call('HINCRBY', prefix .. Key.COUNTERS, Total.GENERATED, 1)
redis.call('HINCRBY', prefix .. Key.COUNTERS, Total.GENERATED_TOKENS, tokens)
return 1
