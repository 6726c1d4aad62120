--[[ overdue.lua: no safe point was reached in time for a pause: the receipt says so, and the wish stands.
  KEYS  1 prefix
  ARGV  1 execution_id · 2 deadline found due (ms) · 3 data of the event
  REPLY {"ok", status, wakes} · {"absent"} · {"refused", status}
  EMITS execution.pause_requested
  TWICE the second call finds the deadline gone and is refused ]]
local x = load(ARGV[1])
if not x then return { 'absent' } end
if x.pause_ack_at_ms ~= ARGV[2] or not is_running(x) then return { 'refused', x.status } end
unset(x, 'pause_ack_at_ms')
set(x, 'intent_overdue_at_ms', ms(NOW))
emit(x, 'execution.pause_requested', ARGV[3], true)
save(x)
return { 'ok', x.status, {} }
