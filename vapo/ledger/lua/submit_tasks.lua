-- Accept tasks once each, all or none. KEYS: hashes of the tasks.
-- ARGV: prefix, queue limit, time, number of notes, then for each note: hash, field, value it must have now
-- ('' = none), new value; then for each task: id, body, samples, purpose, evaluation ('' = none), digest of
-- its content, place it goes to, whether a known task must have the same digest ('1' or '0'). The record
-- keeps the digest, so that it is known when the body is gone.
-- Notes change with the tasks or not at all: a data set's position, an evaluation's record.
-- A task of an evaluation must be new: one of that id would never answer for the evaluation.
-- Returns a list of 1 accepted, 0 already known; or -1 queue full; or -2 a note had another value; or
-- -3 a task of an evaluation is known; or {-4, numbers from 1 of the tasks known with other content}.
redis.replicate_commands()
local prefix, limit, time, notes = unpack(ARGV, 1, 4)
local backlog = prefix .. Key.BACKLOG
local first_task = 5 + 4 * tonumber(notes)
for at = 5, first_task - 1, 4 do
  local now = redis.call('HGET', prefix .. ARGV[at], ARGV[at + 1])
  if (now or '') ~= ARGV[at + 2] then return -2 end
end
local new_training_tasks, differing = 0, {-4}
for number, key in ipairs(KEYS) do
  local at = first_task + 8 * (number - 1)
  local known = redis.call('EXISTS', key) == 1
  if known and ARGV[at + 4] ~= '' then return -3 end
  if known and ARGV[at + 7] == '1' and (redis.call('HGET', key, Field.DIGEST) or ARGV[at + 5]) ~= ARGV[at + 5] then
    differing[#differing + 1] = number
  end
  if not known and ARGV[at + 6] == State.QUEUED then new_training_tasks = new_training_tasks + 1 end
end
if #differing > 1 then return differing end
if new_training_tasks > 0
   and redis.call('LLEN', backlog) + new_training_tasks > tonumber(limit) then return -1 end

local function accept(key, id, body, samples, purpose, evaluation, digest, place)
  if redis.call('EXISTS', key) == 1 then return 0 end
  redis.call('HSET', key, Field.BODY, body, Field.SAMPLES, samples, Field.PURPOSE, purpose, Field.MADE, 0,
             Field.STATE, State.QUEUED, State.QUEUED .. Field.AT_SUFFIX, time, Field.DIGEST, digest)
  if evaluation ~= '' then redis.call('HSET', key, Field.EVALUATION, evaluation) end
  local wanted = {}
  for sample = 0, tonumber(samples) - 1 do wanted[#wanted + 1] = sample end
  local list = table.concat(wanted, ',')
  if place == State.QUEUED then
    redis.call('RPUSH', backlog, id .. '|' .. list)
  else
    redis.call('XADD', prefix .. Key.STREAM .. place, '*', Field.ID, id, Field.SAMPLES, list)
  end
  redis.call('HINCRBY', prefix .. Key.COUNTERS, Total.SUBMITTED .. purpose, 1)
  return 1
end

local accepted = {}
for number, key in ipairs(KEYS) do
  local at = first_task + 8 * (number - 1)
  accepted[number] = accept(key, unpack(ARGV, at, at + 6))
end
for at = 5, first_task - 1, 4 do
  redis.call('HSET', prefix .. ARGV[at], ARGV[at + 1], ARGV[at + 3])
end
return accepted
