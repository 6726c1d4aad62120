--[[ resume.lua: let a paused execution wait for an agent again, or withdraw a pause not yet obeyed.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id · 3 request id · 4 data of the event · 5+ field, value pairs to store
  REPLY {"ok", status, wakes} · {"absent"} · {"refused", status}
  EMITS execution.resumed (and execution.queued if an agent was free); for a withdrawn pause
        execution.pause_requested with {"withdrawn": true}
  TWICE the request id is remembered: the same answer, no second effect ]]
SOURCE = 'client'
local entropy, id, request, data = unpack(ARGV, 1, 4)
local x = load(id)
if not x then return { 'absent' } end
if x.last_request == request then return { 'ok', x.status, {} } end
if is_running(x) and x.intent_kind == 'pause' then
  set(x, 'last_request', request)
  withdraw_intent(x)
  emit(x, 'execution.pause_requested', '{"withdrawn":true}', true)
  call('PUBLISH', key('control', x.agent_id), 'withdraw ' .. x.id .. '.' .. x.attempt)
  save(x)
  return { 'ok', x.status, WAKES }
end
if not allows(MOVES.resume, x) then return { 'refused', x.status } end
set(x, 'last_request', request)
withdraw_intent(x)
for i = 5, #ARGV, 2 do set(x, ARGV[i], ARGV[i + 1]) end
x.paused_on = x.agent_id
move(x, MOVES.resume, data)
enter(x, entropy)
return { 'ok', x.status, WAKES }
