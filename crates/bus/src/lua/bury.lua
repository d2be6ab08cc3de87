-- Moves one entry to the dead stream, if this consumer still holds it.
-- KEYS[1] stream; KEYS[2] dead stream; ARGV[1] group; ARGV[2] consumer; ARGV[3] entry id;
-- ARGV[4] about how many dead entries to keep; ARGV[5..] fields and values. Returns 1 when it moved it.
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2]) == 0 then
  return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', unpack(ARGV, 5))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
return 1
