--[[ resume_starved.lua: let some of those go on that stood still for the budget of an execution, now that it was raised.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id of the budget's owner · 3 most executions · 4 data of the event
  REPLY {"ok", executions that are still to go on:int, wakes}
  EMITS for each what resume emits: execution.resumed (and execution.queued if an agent was free), or
        execution.pause_requested with {"withdrawn": true}
  TWICE the second call goes on with those that the first left
  If the budget is spent again, those that are left stand still as before. What was resumed, cancelled or paused for
  another reason meanwhile is left alone. ]]
SOURCE = 'client'
local entropy, id, most, data = unpack(ARGV)
local waiting = key('starved', id)
local owner = load(id)
local starved = owner and not spent_budget(owner) and call('ZPOPMIN', waiting, most) or {}
for i = 1, #starved, 2 do
  local x = load(starved[i])
  if x and starves(x, id) then go_on(x, entropy, data, false) end
end
local left = starved[1] and call('ZCARD', waiting) or 0
if left == 0 then call('ZREM', key('deadlines'), 'relief:' .. id) end
return { 'ok', left, WAKES }
