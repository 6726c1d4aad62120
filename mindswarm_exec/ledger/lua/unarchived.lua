--[[ unarchived.lua: name executions that ended before a retention and are not in the archive as they are.
  KEYS  1 prefix
  ARGV  1 retention (ms) · 2 most executions to look at · 3+ terminal statuses
  REPLY {"ok", {execution_id, status, ended_at_ms:int, …}}
  EMITS nothing
  TWICE harmless ]]
local before, most, found = ms(NOW - tonumber(ARGV[1])), tonumber(ARGV[2]), {}
for i = 3, #ARGV do
  local ended = call('ZRANGE', key('status', ARGV[i]), '-inf', before, 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
  for n = 1, #ended, 2 do
    local archived, seq = unpack(call('HMGET', key('execution', ended[n]), 'archived', 'seq'))
    if seq and archived ~= seq then
      for _, fact in ipairs({ ended[n], ARGV[i], ended[n + 1] }) do found[#found + 1] = fact end
    end
  end
end
return { 'ok', found }
