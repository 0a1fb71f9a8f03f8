-- Put a dead letter back where it died. KEYS: dead-letter stream. ARGV: prefix, dead entry.
-- Returns 1 put back, 0 no such letter, -1 the payload is gone and the letter stays.
-- A training task goes to the front: where groups are trained whole, others of its group wait for it.
redis.replicate_commands()
local prefix, entry = unpack(ARGV)
local found = redis.call('XRANGE', KEYS[1], entry, entry)
if #found == 0 then return 0 end
local letter = {}
for i = 1, #found[1][2], 2 do letter[found[1][2][i]] = found[1][2][i + 1] end
local is_task = letter.samples ~= ''
local rollout = prefix .. 'rollout:' .. letter.id
local task = prefix .. 'task:' .. (is_task and letter.id or redis.call('HGET', rollout, 'task') or '')
if redis.call('HEXISTS', task, 'body') == 0 then return -1 end
redis.call('XDEL', KEYS[1], entry)

local evaluation = redis.call('HGET', task, 'evaluation')
local function forget_failure(id)
  local results = prefix .. 'evaluation:' .. evaluation
  local result = redis.call('HGET', results, id)
  if result and cjson.decode(result).verdict == 'failed' then redis.call('HDEL', results, id) end
  redis.call('HDEL', prefix .. 'evaluation_summaries', evaluation)
end

if is_task then
  redis.call('HSET', task, 'state', 'queued')
  for sample in string.gmatch(letter.samples, '%d+') do redis.call('HDEL', task, 'dead:' .. sample) end
  if letter.stage == 'tasks' then
    redis.call('LPUSH', prefix .. 'backlog', letter.id .. '|' .. letter.samples)
  else
    redis.call('XADD', prefix .. 'stream:' .. letter.stage, '*', 'id', letter.id,
               'samples', letter.samples)
  end
  if evaluation then
    for sample in string.gmatch(letter.samples, '%d+') do forget_failure(letter.id .. '.' .. sample) end
  end
else
  redis.call('HSET', rollout, 'state', letter.stage)
  redis.call('XADD', prefix .. 'stream:' .. letter.stage, '*', 'id', letter.id)
  if redis.call('HGET', task, 'purpose') == 'train' then
    redis.call('SADD', prefix .. 'admitted', letter.id)
  end
  if evaluation then forget_failure(letter.id) end
end
redis.call('HINCRBY', prefix .. 'counters', 'revived', 1)
return 1
