--[[ pause.lua: pause what waits; ask what runs to stop at its next safe point.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id · 3 request id · 4 reason · 5 data of the event
  REPLY {"ok", status, wakes} · {"absent"} · {"refused", status}
  EMITS execution.paused, or execution.pause_requested for a running attempt of which nothing was asked before;
        execution.queued for whoever takes up a slot or permit that this frees
  TWICE the latest request ids are remembered: the same answer, no second effect ]]
SOURCE = 'client'
local entropy, id, request, reason, data = unpack(ARGV)
local x = load(id)
if not x then return { 'absent' } end
if is_repeated(x, request) then return { 'ok', x.status, {} } end
if not allows(MOVES.pause, x) then return { 'refused', x.status } end
note_request(x, request)
if is_running(x) then
  ask_to_pause(x, reason, data)
  save(x)
  return { 'ok', x.status, WAKES }
end
intend(x, 'pause', reason)
local eligible, queue_timeout = x.eligible_at_ms, tonumber(x.queue_timeout_at_ms)
local freed = withdraw(x, entropy)
acknowledge(x)
if eligible then set(x, 'eligible_at_ms', eligible) end -- a start time or a delay outlasts a pause
if queue_timeout then set(x, 'queue_timeout_left_ms', ms(math.max(queue_timeout - NOW, 1))) end
move(x, MOVES.pause, data)
save(x)
if freed then fill(load_agent(freed), entropy) end
return { 'ok', x.status, WAKES }
