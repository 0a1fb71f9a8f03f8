-- Store one finished response and pass it on. KEYS: rollout hash, task hash.
-- ARGV: prefix, rollout id, task id, sample, body, tokens, time. Returns 1 stored, 0 known already.
redis.replicate_commands()
local prefix, id, task, sample, body, tokens, time = unpack(ARGV)
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local made_before, wanted = unpack(redis.call('HMGET', KEYS[2], 'made', 'samples'))
if not made_before or tonumber(made_before) >= tonumber(wanted) then return 0 end
redis.call('HSET', KEYS[1], 'state', 'generated', 'task', task, 'sample', sample,
           'generated', body, 'generated_at', time)
redis.call('XADD', prefix .. 'stream:generated', '*', 'id', id)
local made = redis.call('HINCRBY', KEYS[2], 'made', 1)
if made >= tonumber(wanted) then
  redis.call('HSET', KEYS[2], 'state', 'done', 'done_at', time)
end
redis.call('HINCRBY', prefix .. 'counters', 'generated', 1)
redis.call('HINCRBY', prefix .. 'counters', 'generated_tokens', tokens)
return 1
