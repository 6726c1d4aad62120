--[[ keep_sum.lua: keep what was added up over a span, unless what is kept reaches further already.
  KEYS  1 prefix
  ARGV  1 name of the sum · 2 since · 3 upto · 4 sums as JSON · 5 instant at which it is forgotten (ms)
  REPLY {"ok", "1" if it is kept now, "0" if a later one is}
  EMITS nothing
  TWICE the second call keeps the same ]]
local name, since, upto, sums, forgotten_at = unpack(ARGV)
local kept = call('HMGET', key('summed', name), 'since', 'upto')
-- whoever was halted in between must not bring back a sum whose missing minutes are forgotten meanwhile
if kept[1] and (tonumber(kept[1]) > tonumber(since) or tonumber(kept[2]) > tonumber(upto)) then return { 'ok', '0' } end
call('HSET', key('summed', name), 'since', since, 'upto', upto, 'sums', sums)
call('PEXPIREAT', key('summed', name), forgotten_at)
return { 'ok', '1' }
