-- Move one rollout from a stage to the next, once. KEYS: rollout hash, stream it leaves.
-- ARGV: prefix, group, entry, rollout id, state it must be in, next state, whether that is a stage ('1')
-- or an end ('0'), field, body, time. A rollout that has moved on is left alone, and so is one whose
-- entry is no longer pending: it may be a later response under the same id.
-- Returns 1 moved, 0 had moved already.
redis.replicate_commands()
local prefix, group, entry, id, from, to, goes_on, field, body, time = unpack(ARGV)
if not release(KEYS[2], group, entry, id) or redis.call('HGET', KEYS[1], Field.STATE) ~= from then
  return 0
end
redis.call('HSET', KEYS[1], Field.STATE, to, field, body, field .. Field.AT_SUFFIX, time)
if goes_on == '1' then
  redis.call('XADD', prefix .. Key.STREAM .. to, '*', Field.ID, id)
else
  redis.call('SREM', prefix .. Key.ADMITTED, id)
  redis.call('RPUSH', prefix .. Key.FINISHED, id)
end
redis.call('HINCRBY', prefix .. Key.COUNTERS, field, 1)
return 1
