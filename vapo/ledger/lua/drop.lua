-- Take a leased rollout out, with a reason; re-queue its sample if asked.
-- KEYS: rollout hash, stream it waits in. ARGV: prefix, group, entry, rollout id, state, reason,
-- requeue ('1' or '0'), time, field and body to store with it ('' = none).
-- Returns 1 dropped, 0 had moved already.
redis.replicate_commands()
local prefix, group, entry, id, from, reason, requeue, time, field, body = unpack(ARGV)
if not release(KEYS[2], group, entry, id) or redis.call('HGET', KEYS[1], 'state') ~= from then
  return 0
end
local task = redis.call('HGET', KEYS[1], 'task')
local sample = redis.call('HGET', KEYS[1], 'sample')
redis.call('SREM', prefix .. 'admitted', id)
redis.call('HINCRBY', prefix .. 'counters', 'dropped', 1)
redis.call('HINCRBY', prefix .. 'counters', 'dropped:' .. reason, 1)
redis.call('XADD', prefix .. 'dropped', 'MAXLEN', '~', 10000, '*', 'id', id, 'reason', reason,
           'requeued', requeue, 'at', time)
if requeue == '1' then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', prefix .. 'newest', id)
  redis.call('HDEL', prefix .. 'task:' .. task, 'made:' .. sample)
  redis.call('HINCRBY', prefix .. 'task:' .. task, 'made', -1)
  redis.call('HSET', prefix .. 'task:' .. task, 'state', 'queued')
  redis.call('LPUSH', prefix .. 'backlog', task .. '|' .. sample)
else
  redis.call('HSET', KEYS[1], 'state', 'dropped', 'dropped', reason, 'dropped_at', time)
  if field ~= '' then redis.call('HSET', KEYS[1], field, body, field .. '_at', time) end
  redis.call('RPUSH', prefix .. 'finished', id)
end
return 1
