--[[ match_waiting.lua: give waiting executions to free agents. Every script keeps this true by itself;
  this one repairs it should a class and an agent ever have missed each other.
  KEYS  1 prefix
  ARGV  1 entropy · 2 most matches to make
  REPLY {"ok", matches:int, wakes}
  EMITS execution.queued for each match
  TWICE the second call matches what the first left ]]
local matches = 0
for _, class_id in ipairs(call('SMEMBERS', key('backlog'))) do
  local lane = key('lane', class_id)
  while matches < tonumber(ARGV[2]) do
    local id = call('ZRANGE', lane, 0, 0)[1]
    local top = call('ZRANGE', key('available', class_id), 0, 0, 'REV')[1]
    if not id or not top then break end
    local x = load(id)
    if x then
      leave_lane(x)
      enter(x, ARGV[1])
      matches = matches + 1
    else
      call('ZREM', lane, id)
    end
  end
  if call('EXISTS', lane) == 0 then call('SREM', key('backlog'), class_id) end
end
return { 'ok', matches, WAKES }
