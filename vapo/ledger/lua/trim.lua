-- Delete the oldest finished payloads beyond the retention limit, then the oldest records of ended tasks
-- beyond theirs. KEYS: finished list, ended-tasks list.
-- ARGV: prefix, payloads retained, records retained, most of each to delete in one call.
-- Returns how many went.
-- A task's record outlives its payload: it says which samples exist, and a repeated submission of it
-- is still recognised. It is on the list of ended tasks once the payload of every sample was trimmed,
-- so nothing of it waits anywhere: a sample that waits, is worked on, or is a dead letter was not.
redis.replicate_commands()
local prefix, most = ARGV[1], tonumber(ARGV[4])
local function excess(list, retained)
  return math.min(redis.call('LLEN', list) - tonumber(retained), most)
end

local deleted = 0
for _ = 1, excess(KEYS[1], ARGV[2]) do
  local id = redis.call('LPOP', KEYS[1])
  local rollout = prefix .. Key.ROLLOUT .. id
  local task = redis.call('HGET', rollout, Field.TASK)
  redis.call('DEL', rollout)
  redis.call('ZREM', prefix .. Key.NEWEST, id)
  deleted = deleted + 1
  if task then
    local key = prefix .. Key.TASK .. task
    local trimmed = redis.call('HINCRBY', key, Field.TRIMMED, 1)
    if trimmed == tonumber(redis.call('HGET', key, Field.SAMPLES) or 0) then
      redis.call('HDEL', key, Field.BODY)
      redis.call('RPUSH', KEYS[2], task)
    end
  end
end

for _ = 1, excess(KEYS[2], ARGV[3]) do
  local key = prefix .. Key.TASK .. redis.call('LPOP', KEYS[2])
  redis.call('HINCRBY', prefix .. Key.COUNTERS, Total.SAMPLES_OF_REMOVED_TASKS, redis.call('HGET', key, Field.SAMPLES))
  redis.call('DEL', key)
  deleted = deleted + 1
end
return deleted
