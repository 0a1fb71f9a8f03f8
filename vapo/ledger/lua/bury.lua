-- Move an id to the dead letters, with its reason. KEYS: hash of the task or rollout, its stream.
-- ARGV: prefix, group, entry, stage, id, samples ('' for a rollout), reason, time.
-- A task's letter names only the samples that do not exist; its record says which those are, in fields
-- `dead:{sample}`. An evaluation counts what died as failed, so that it ends. Returns 1 buried, 0 the entry was no longer leased or nothing of it is missing.
redis.replicate_commands()
local prefix, group, entry, stage, id, samples, reason, time = unpack(ARGV)
if not release(KEYS[2], group, entry, id) then return 0 end
local missing, lost, task = {}, {}, KEYS[1]
if samples == '' then
  lost[1] = id
  task = prefix .. Key.TASK .. (redis.call('HGET', KEYS[1], Field.TASK) or '')
else
  for sample in string.gmatch(samples, '%d+') do
    if redis.call('HEXISTS', task, Field.MADE_SAMPLE .. sample) == 0 then
      missing[#missing + 1] = sample
      lost[#lost + 1] = id .. '.' .. sample
      redis.call('HSET', task, Field.DEAD_SAMPLE .. sample, time)
    end
  end
  if #lost == 0 then return 0 end
end
for _, rollout in ipairs(lost) do redis.call('SREM', prefix .. Key.ADMITTED, rollout) end
local evaluation = redis.call('HGET', task, Field.EVALUATION)
if evaluation then
  local result = cjson.encode({[Field.VERDICT] = State.FAILED, [Field.REASON] = reason, [Field.STAGE] = stage})
  for _, rollout in ipairs(lost) do
    redis.call('HSETNX', prefix .. Key.EVALUATION .. evaluation, rollout, result)
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], Field.STATE, After.FAILED, After.FAILED .. Field.AT_SUFFIX, time)
end
redis.call('XADD', prefix .. Key.DEAD_LETTERS, '*', Field.STAGE, stage, Field.ID, id,
           Field.SAMPLES, table.concat(missing, ','), Field.REASON, reason, Field.AT, time)
redis.call('HINCRBY', prefix .. Key.COUNTERS, Total.DEAD, 1)
return 1
