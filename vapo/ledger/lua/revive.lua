-- Put a dead letter back where it died. KEYS: dead-letter stream. ARGV: prefix, dead entry.
-- Returns 1 put back, 0 no such letter, -1 the payload is gone and the letter stays.
-- A training task goes to the front: where groups are trained whole, others of its group wait for it.
redis.replicate_commands()
local prefix, entry = unpack(ARGV)
local found = redis.call('XRANGE', KEYS[1], entry, entry)
if #found == 0 then return 0 end
local letter = {}
for i = 1, #found[1][2], 2 do letter[found[1][2][i]] = found[1][2][i + 1] end
local id, samples, place = letter[Field.ID], letter[Field.SAMPLES], After.REVIVED[letter[Field.STAGE]]
local is_task = samples ~= ''
local rollout = prefix .. Key.ROLLOUT .. id
local task = prefix .. Key.TASK .. (is_task and id or redis.call('HGET', rollout, Field.TASK) or '')
if redis.call('HEXISTS', task, Field.BODY) == 0 then return -1 end
redis.call('XDEL', KEYS[1], entry)

local evaluation = redis.call('HGET', task, Field.EVALUATION)
local function forget_failure(rollout_id)
  local results = prefix .. Key.EVALUATION .. evaluation
  local result = redis.call('HGET', results, rollout_id)
  if result and cjson.decode(result)[Field.VERDICT] == State.FAILED then redis.call('HDEL', results, rollout_id) end
  redis.call('HDEL', prefix .. Key.EVALUATION_SUMMARIES, evaluation)
end

if is_task then
  redis.call('HSET', task, Field.STATE, State.QUEUED)
  for sample in string.gmatch(samples, '%d+') do redis.call('HDEL', task, Field.DEAD_SAMPLE .. sample) end
  if place == State.QUEUED then
    redis.call('LPUSH', prefix .. Key.BACKLOG, id .. '|' .. samples)
  else
    redis.call('XADD', prefix .. Key.STREAM .. place, '*', Field.ID, id, Field.SAMPLES, samples)
  end
  if evaluation then
    for sample in string.gmatch(samples, '%d+') do forget_failure(id .. '.' .. sample) end
  end
else
  redis.call('HSET', rollout, Field.STATE, place)
  redis.call('XADD', prefix .. Key.STREAM .. place, '*', Field.ID, id)
  if redis.call('HGET', task, Field.PURPOSE) == Purpose.TRAIN then
    redis.call('SADD', prefix .. Key.ADMITTED, id)
  end
  if evaluation then forget_failure(id) end
end
redis.call('HINCRBY', prefix .. Key.COUNTERS, Total.REVIVED, 1)
return 1
