-- Accept one task once. KEYS: task hash. ARGV: prefix, id, body, samples, purpose, limit, time.
-- Returns 1 accepted, 0 already known, -1 queue full.
redis.replicate_commands()
local prefix, id, body, samples, purpose, limit, time = unpack(ARGV)
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local backlog = prefix .. 'backlog'
if purpose == 'train' and redis.call('LLEN', backlog) >= tonumber(limit) then return -1 end
redis.call('HSET', KEYS[1], 'body', body, 'samples', samples, 'purpose', purpose, 'made', 0,
           'state', 'queued', 'queued_at', time)
local wanted = {}
for sample = 0, tonumber(samples) - 1 do wanted[#wanted + 1] = sample end
local list = table.concat(wanted, ',')
if purpose == 'train' then
  redis.call('RPUSH', backlog, id .. '|' .. list)
else
  redis.call('XADD', prefix .. 'stream:eval_tasks', '*', 'id', id, 'samples', list)
end
redis.call('HINCRBY', prefix .. 'counters', 'submitted_' .. purpose, 1)
return 1
