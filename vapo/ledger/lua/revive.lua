-- Put a dead letter back where it died. KEYS: dead-letter stream. ARGV: prefix, dead entry.
-- Returns 1 put back, 0 no such letter.
redis.replicate_commands()
local prefix, entry = unpack(ARGV)
local found = redis.call('XRANGE', KEYS[1], entry, entry)
if #found == 0 then return 0 end
local letter = {}
for i = 1, #found[1][2], 2 do letter[found[1][2][i]] = found[1][2][i + 1] end
redis.call('XDEL', KEYS[1], entry)
if letter.samples ~= '' then
  redis.call('HSET', prefix .. 'task:' .. letter.id, 'state', 'queued')
  if letter.stage == 'tasks' then
    redis.call('RPUSH', prefix .. 'backlog', letter.id .. '|' .. letter.samples)
  else
    redis.call('XADD', prefix .. 'stream:' .. letter.stage, '*', 'id', letter.id,
               'samples', letter.samples)
  end
else
  redis.call('HSET', prefix .. 'rollout:' .. letter.id, 'state', letter.stage)
  redis.call('XADD', prefix .. 'stream:' .. letter.stage, '*', 'id', letter.id)
  local task = redis.call('HGET', prefix .. 'rollout:' .. letter.id, 'task')
  if redis.call('HGET', prefix .. 'task:' .. task, 'purpose') == 'train' then
    redis.call('SADD', prefix .. 'admitted', letter.id)
  end
end
redis.call('HINCRBY', prefix .. 'counters', 'revived', 1)
return 1
