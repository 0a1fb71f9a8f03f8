-- Delete the oldest finished payloads beyond the retention limit. KEYS: finished list.
-- ARGV: prefix, retained, most to delete in one call. Returns how many went.
-- A task's record outlives its payload: it says which samples exist, and a repeated submission of it
-- is still recognised.
redis.replicate_commands()
local prefix, retained, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local deleted = 0
local excess = math.min(redis.call('LLEN', KEYS[1]) - retained, most)
for _ = 1, excess do
  local id = redis.call('LPOP', KEYS[1])
  local rollout = prefix .. 'rollout:' .. id
  local task = redis.call('HGET', rollout, 'task')
  redis.call('DEL', rollout)
  deleted = deleted + 1
  if task then
    local key = prefix .. 'task:' .. task
    local trimmed = redis.call('HINCRBY', key, 'trimmed', 1)
    if trimmed >= tonumber(redis.call('HGET', key, 'samples') or 0) then
      redis.call('HDEL', key, 'body')
    end
  end
end
return deleted
