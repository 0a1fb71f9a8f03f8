-- End the lease of a task entry once all its samples exist; give the missing ones back if asked.
-- KEYS: stream. ARGV: prefix, group, entry, task id, samples, give back ('1' or '0').
-- Returns 1 when the lease has ended, 0 when samples are missing and it stays leased.
redis.replicate_commands()
local prefix, group, entry, id, samples, give_back = unpack(ARGV)
local missing = {}
for sample in string.gmatch(samples, '%d+') do
  if redis.call('HEXISTS', prefix .. Key.TASK .. id, Field.MADE_SAMPLE .. sample) == 0 then
    missing[#missing + 1] = sample
  end
end
if #missing > 0 and give_back == '0' then return 0 end
if release(KEYS[1], group, entry, id) and #missing > 0 then
  redis.call('XADD', KEYS[1], '*', Field.ID, id, Field.SAMPLES, table.concat(missing, ','))
end
return 1
