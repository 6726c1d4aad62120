--[[ freeze.lua: the process of an attempt was stopped in place, as a pause asked for.
  KEYS  1 prefix
  ARGV  1 execution_id · 2 nonce · 3 agent_id · 4 data of the event
  REPLY {"ok"} · {"absent"} · {"fenced"} · {"refused", status}: the pause was withdrawn; let the process go on
  EMITS execution.paused
  TWICE the second call finds it frozen: the same answer, no second event
  The attempt keeps its slot, its permit and its nonce; its timeouts stand still. ]]
local id, nonce, agent_id, data = unpack(ARGV)
SOURCE = 'agent:' .. agent_id
local x = load(id)
if not x then return { 'absent' } end
if x.nonce ~= nonce or is_over(x) then return { 'fenced' } end
if x.frozen then return { 'ok' } end
if not allows(MOVES.freeze, x) or x.intent_kind ~= 'pause' then return { 'refused', x.status } end
set(x, 'frozen', '1')
acknowledge(x)
stop_clocks(x)
move(x, MOVES.freeze, data)
save(x)
return { 'ok' }
