-- Move one rollout from a stage to the next, once. KEYS: rollout hash, stream it leaves.
-- ARGV: prefix, group, entry, rollout id, state it must be in, next state ('' = nothing follows),
--       field, body, time, final state. A rollout that has moved on is left alone, and so is one whose
-- entry is no longer pending: it may be a later response under the same id.
-- Returns 1 moved, 0 had moved already.
redis.replicate_commands()
local prefix, group, entry, id, from, next_state, field, body, time, final = unpack(ARGV)
if not release(KEYS[2], group, entry, id) or redis.call('HGET', KEYS[1], 'state') ~= from then
  return 0
end
local state = next_state ~= '' and next_state or final
redis.call('HSET', KEYS[1], 'state', state, field, body, field .. '_at', time)
if next_state ~= '' then
  redis.call('XADD', prefix .. 'stream:' .. next_state, '*', 'id', id)
else
  redis.call('SREM', prefix .. 'admitted', id)
  redis.call('RPUSH', prefix .. 'finished', id)
end
redis.call('HINCRBY', prefix .. 'counters', field, 1)
return 1
