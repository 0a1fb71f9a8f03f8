-- Admit samples from the backlog while slots are free, then lease up to `count` tasks.
-- ARGV: prefix, group, consumer, count, capacity, rollouts of a batch, whether groups are trained whole
-- ('1' or '0'), weight version the generator has loaded, then the stages to lease from, in that order.
-- KEYS: the backlog.
-- A generator behind the newest announced version gets nothing: a rollout begun under old weights could
-- be trained only beyond the staleness limit.
-- Admission counts rollouts. A task that fits is admitted whole. One that does not waits while a batch or
-- more is admitted, since the trainer can then train and free slots. Else it must not wait, or the
-- trainer would for ever: it gets the slots there are and the rest of it stays at the front. Where groups
-- are trained whole it is admitted whole all the same, and samples of a group that has begun always are,
-- since the others of the group hold slots until they come.
-- Samples that exist already (a late worker made them) take no slot: nothing would free it.
-- Returns a list of {stage, entry, task id, samples}.
redis.replicate_commands()
local prefix, group, consumer, count = unpack(ARGV, 1, 4)
local capacity, batch, whole, version = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8]
if tonumber(version) < tonumber(redis.call('GET', prefix .. Key.WEIGHT_NEWEST) or 0) then return {} end
local admitted = prefix .. Key.ADMITTED

local function begun(task, listed)
  return listed < tonumber(redis.call('HGET', task, Field.SAMPLES) or 0)
end

local function slots_for(task, listed, wanted)
  local outstanding = redis.call('SCARD', admitted)
  if outstanding + wanted <= capacity then return wanted end
  if whole then return (outstanding < batch or begun(task, listed)) and wanted or 0 end
  return outstanding < batch and capacity - outstanding or 0
end

local function admit(id, task, samples, many)
  if many == 0 then return end
  for at = 1, many do redis.call('SADD', admitted, id .. '.' .. samples[at]) end
  redis.call('XADD', prefix .. Key.STREAM .. After.ADMITTED, '*', Field.ID, id,
             Field.SAMPLES, table.concat(samples, ',', 1, many))
  redis.call('HSET', task, Field.STATE, State.ADMITTED)
end

local paused = redis.call('HGET', prefix .. Key.CONTROL, Field.PAUSED) == '1'
while not paused do
  local item = redis.call('LINDEX', KEYS[1], 0)
  if not item then break end
  local id, list = string.match(item, '^(.*)|([%d,]*)$')
  local task, samples, listed = prefix .. Key.TASK .. id, {}, 0
  for sample in string.gmatch(list, '%d+') do
    listed = listed + 1
    if redis.call('HEXISTS', task, Field.MADE_SAMPLE .. sample) == 0 then samples[#samples + 1] = sample end
  end
  local many = slots_for(task, listed, #samples)
  if many == 0 and #samples > 0 then break end
  admit(id, task, samples, many)
  if many == #samples then
    redis.call('LPOP', KEYS[1])
  else
    redis.call('LSET', KEYS[1], 0, id .. '|' .. table.concat(samples, ',', many + 1))
  end
end
local leases = {}
for at = 9, #ARGV do
  local stage = ARGV[at]
  local wanted = tonumber(count) - #leases
  if wanted > 0 then
    local reply = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', wanted,
                             'STREAMS', prefix .. Key.STREAM .. stage, '>')
    if reply then
      for _, entry in ipairs(reply[1][2]) do
        leases[#leases + 1] = {stage, entry[1], entry[2][2], entry[2][4]}
      end
    end
  end
end
return leases
