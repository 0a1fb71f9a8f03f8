-- Admit tasks from the backlog while slots are free, then lease up to `count` of them.
-- ARGV: prefix, group, consumer, count, capacity, weight version the generator has loaded.
-- KEYS: the backlog. A generator behind the newest announced version gets nothing: a rollout begun
-- under old weights could be trained only beyond the staleness limit.
-- Admission counts rollouts; a task larger than the capacity is admitted when nothing else is.
-- Samples that exist already (a late worker made them) take no slot: nothing would free it.
-- Returns a list of {stage, entry, task id, samples}.
redis.replicate_commands()
local prefix, group, consumer, count, capacity, version = unpack(ARGV)
if tonumber(version) < tonumber(redis.call('GET', prefix .. 'weight_newest') or 0) then return {} end
local admitted = prefix .. 'admitted'
local paused = redis.call('HGET', prefix .. 'control', 'paused') == '1'
while not paused do
  local item = redis.call('LINDEX', KEYS[1], 0)
  if not item then break end
  local id, list = string.match(item, '^(.*)|([%d,]*)$')
  local task = prefix .. 'task:' .. id
  local samples, slots = {}, {}
  for sample in string.gmatch(list, '%d+') do
    if redis.call('HEXISTS', task, 'made:' .. sample) == 0 then
      samples[#samples + 1] = sample
      slots[#slots + 1] = id .. '.' .. sample
    end
  end
  local outstanding = redis.call('SCARD', admitted)
  if outstanding > 0 and outstanding + #slots > tonumber(capacity) then break end
  redis.call('LPOP', KEYS[1])
  if #slots > 0 then
    redis.call('SADD', admitted, unpack(slots))
    redis.call('XADD', prefix .. 'stream:tasks', '*', 'id', id, 'samples', table.concat(samples, ','))
    redis.call('HSET', task, 'state', 'admitted')
  end
end
local leases = {}
for _, stage in ipairs({'eval_tasks', 'tasks'}) do
  local wanted = tonumber(count) - #leases
  if wanted > 0 then
    local reply = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', wanted,
                             'STREAMS', prefix .. 'stream:' .. stage, '>')
    if reply then
      for _, entry in ipairs(reply[1][2]) do
        leases[#leases + 1] = {stage, entry[1], entry[2][2], entry[2][4]}
      end
    end
  end
end
return leases
