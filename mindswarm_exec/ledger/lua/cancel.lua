--[[ cancel.lua: cancel what does not run; ask what runs to stop, or with force fence it at once.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id · 3 request id · 4 reason · 5 "1" to force · 6 error as JSON
        7 data of the event
  REPLY {"ok", status, wakes} · {"absent"} · {"refused", status}
  EMITS execution.cancelled, or execution.cancel_requested for a running attempt without force;
        execution.queued for whoever takes up a slot or permit that this frees
  TWICE the request id is remembered: the same answer, no second effect
  A forced attempt keeps its slot until its code ends and its agent reports (settle answers "fenced"). ]]
SOURCE = 'client'
local entropy, id, request, reason, force, failure, data = unpack(ARGV)
local x = load(id)
if not x then return { 'absent' } end
if x.last_request == request then return { 'ok', x.status, {} } end
if not allows(MOVES.cancel, x) then return { 'refused', x.status } end
set(x, 'last_request', request)
intend(x, 'cancel', reason)
local freed
if is_running(x) then
  call('PUBLISH', key('control', x.agent_id), 'cancel ' .. x.id .. '.' .. x.attempt)
  if force ~= '1' then
    set(x, 'intent_error', failure)
    emit(x, 'execution.cancel_requested', data, true)
    save(x)
    return { 'ok', x.status, WAKES }
  end
  clear_clocks(x)
  end_attempt(x, 'forced')
  return_permit(x, entropy)
else
  acknowledge(x)
  freed = withdraw(x, entropy)
end
set(x, 'error', failure)
set(x, 'finished_at_ms', ms(NOW))
move(x, MOVES.cancel, data)
save(x)
call('PUBLISH', key('ended', id), x.status)
if freed then fill(load_agent(freed), entropy) end
return { 'ok', x.status, WAKES }
