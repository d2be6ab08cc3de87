-- Starts the lease of entries anew, but only of those that this consumer still holds: XCLAIM alone
-- would take an entry back from the replica that claimed it. JUSTID leaves the delivery count alone.
-- KEYS[1] stream; ARGV[1] group; ARGV[2] consumer; ARGV[3..] entry ids. Returns how many it renewed.
local mine = {}
for i = 3, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2]) == 1 then
    mine[#mine + 1] = ARGV[i]
  end
end
local count = #mine
if count > 0 then
  mine[count + 1] = 'JUSTID'
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(mine))
end
return count
