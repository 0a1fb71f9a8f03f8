-- Store one finished response and pass it on. KEYS: rollout hash, task hash.
-- ARGV: prefix, rollout id, task id, sample, body, tokens, time. Returns 1 stored, 0 known already.
-- The task's record, which outlives payloads, says which samples exist: its fields `made:{sample}`.
redis.replicate_commands()
local prefix, id, task, sample, body, tokens, time = unpack(ARGV)
local wanted = redis.call('HGET', KEYS[2], 'samples')
if not wanted or tonumber(sample) >= tonumber(wanted) then return 0 end
if redis.call('HSETNX', KEYS[2], 'made:' .. sample, time) == 0 then return 0 end
redis.call('HDEL', KEYS[2], 'dead:' .. sample)
redis.call('HSET', KEYS[1], 'state', 'generated', 'task', task, 'sample', sample,
           'generated', body, 'generated_at', time)
redis.call('XADD', prefix .. 'stream:generated', '*', 'id', id)
redis.call('ZADD', prefix .. 'newest', time, id)
local made = redis.call('HINCRBY', KEYS[2], 'made', 1)
if made >= tonumber(wanted) then
  redis.call('HSET', KEYS[2], 'state', 'done', 'done_at', time)
end
redis.call('HINCRBY', prefix .. 'counters', 'generated', 1)
redis.call('HINCRBY', prefix .. 'counters', 'generated_tokens', tokens)
return 1
