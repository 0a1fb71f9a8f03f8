-- Take a leased rollout out, with a reason; re-queue its sample if asked.
-- KEYS: rollout hash, stream it waits in. ARGV: prefix, group, entry, rollout id, state, reason,
-- requeue ('1' or '0'), time, field and body to store with it ('' = none).
-- Returns 1 dropped, 0 had moved already.
redis.replicate_commands()
local prefix, group, entry, id, from, reason, requeue, time, field, body = unpack(ARGV)
if not release(KEYS[2], group, entry, id) or redis.call('HGET', KEYS[1], Field.STATE) ~= from then
  return 0
end
local task = redis.call('HGET', KEYS[1], Field.TASK)
local sample = redis.call('HGET', KEYS[1], Field.SAMPLE)
redis.call('SREM', prefix .. Key.ADMITTED, id)
redis.call('HINCRBY', prefix .. Key.COUNTERS, Total.DROPPED, 1)
redis.call('HINCRBY', prefix .. Key.COUNTERS, Total.DROPPED_BECAUSE .. reason, 1)
redis.call('XADD', prefix .. Key.DROPPED, 'MAXLEN', '~', 10000, '*', Field.ID, id, Field.REASON, reason,
           Field.REQUEUED, requeue, Field.AT, time)
if requeue == '1' then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', prefix .. Key.NEWEST, id)
  redis.call('HDEL', prefix .. Key.TASK .. task, Field.MADE_SAMPLE .. sample)
  redis.call('HINCRBY', prefix .. Key.TASK .. task, Field.MADE, -1)
  redis.call('HSET', prefix .. Key.TASK .. task, Field.STATE, After.REQUEUED)
  redis.call('LPUSH', prefix .. Key.BACKLOG, task .. '|' .. sample)
else
  redis.call('HSET', KEYS[1], Field.STATE, After.DISCARDED, Field.DROPPED, reason,
             After.DISCARDED .. Field.AT_SUFFIX, time)
  if field ~= '' then redis.call('HSET', KEYS[1], field, body, field .. Field.AT_SUFFIX, time) end
  redis.call('RPUSH', prefix .. Key.FINISHED, id)
end
return 1
