-- Move an id to the dead letters, with its reason. KEYS: hash of the task or rollout, its stream.
-- ARGV: prefix, group, entry, stage, id, samples ('' for a rollout), reason, time.
-- Returns 1 buried, 0 the entry was no longer leased.
redis.replicate_commands()
local prefix, group, entry, stage, id, samples, reason, time = unpack(ARGV)
local held = redis.call('XACK', KEYS[2], group, entry)
redis.call('XDEL', KEYS[2], entry)
if held == 0 then return 0 end
if samples == '' then
  redis.call('SREM', prefix .. 'admitted', id)
else
  for sample in string.gmatch(samples, '%d+') do
    local rollout = id .. '.' .. sample
    if redis.call('EXISTS', prefix .. 'rollout:' .. rollout) == 0 then
      redis.call('SREM', prefix .. 'admitted', rollout)
    end
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'state', 'dead') end
redis.call('XADD', prefix .. 'stream:dead', '*', 'stage', stage, 'id', id, 'samples', samples,
           'reason', reason, 'at', time)
redis.call('HINCRBY', prefix .. 'counters', 'dead', 1)
return 1
