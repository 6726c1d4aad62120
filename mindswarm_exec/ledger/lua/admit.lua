--[[ admit.lua: a delay is over: let the execution wait for an agent.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id
  REPLY {"ok", status, wakes} · {"absent"} · {"refused", status}
  EMITS execution.queued if an agent was free
  TWICE the second call finds no delay and is refused ]]
local x = load(ARGV[2])
if not x then return { 'absent' } end
if x.place ~= 'delay' or tonumber(x.eligible_at_ms) > NOW then return { 'refused', x.status } end
unset(x, 'eligible_at_ms')
unset(x, 'place')
enter(x, ARGV[1])
return { 'ok', x.status, WAKES }
