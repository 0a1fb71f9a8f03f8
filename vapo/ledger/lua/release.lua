-- Put before the moves that end a lease: `release` takes an entry out of its stream, and says whether
-- the caller may go on. False when the entry is not leased, or is another id's: a Redis that lost its
-- last writes has forgotten the lease, and the entry waits there for the next worker. It must stay.
local function release(stream, group, entry, id)
  local found = redis.call('XRANGE', stream, entry, entry)
  if #found == 0 or found[1][2][2] ~= id then return false end
  if redis.call('XACK', stream, group, entry) == 0 then return false end
  redis.call('XDEL', stream, entry)
  return true
end

