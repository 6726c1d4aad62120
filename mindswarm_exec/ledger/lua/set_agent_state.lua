--[[ set_agent_state.lua: open an agent for work, or close it.
  KEYS  1 prefix
  ARGV  1 entropy · 2 agent_id · 3 incarnation, or "" by an operator · 4 state · 5 "1" if it accepts work
        6 event or ""
  REPLY {"ok", state, wakes} · {"absent"} · {"fenced"} · {"refused", state}
  EMITS the event, if the state changed; execution.released for what it gives back
        execution.queued for what it takes up, or for what another agent takes up
  Closing gives back at once what was queued for it and is not yet claimed: nothing is lost by it.
  TWICE the state is the same: no second event ]]
local entropy, agent_id, incarnation, state, accepts, event = unpack(ARGV)
local record = key('agent', agent_id)
local known, present = unpack(call('HMGET', record, 'incarnation', 'state'))
if not known then return { 'absent' } end
if incarnation ~= '' and incarnation ~= known then return { 'fenced' } end
if incarnation == '' and present == 'offline' then return { 'refused', present } end
if incarnation ~= '' then SOURCE = 'agent:' .. agent_id else SOURCE = 'client' end
call('HSET', record, 'state', state, 'accepts_work', accepts)
if present ~= state and event ~= '' then append_for_agent(event, agent_id) end
if accepts == '1' then
  fill(load_agent(agent_id), entropy)
  return { 'ok', state, WAKES }
end
refresh(load_agent(agent_id))
local held = call('HGETALL', key('held', agent_id))
for i = 1, #held, 2 do
  local x = load(string.match(held[i], '^[^.]+'))
  if x and x.nonce == held[i + 1] and is_queued(x) then
    free_slot(agent_id, held[i], held[i + 1])
    clear_clocks(x)
    end_attempt(x, MOVES.release.name)
    move(x, MOVES.release, '{"agent_id":"' .. agent_id .. '","reason":"' .. state .. '"}')
    save(x)
    enter(x, entropy)
  end
end
if incarnation == '' then call('PUBLISH', key('control', agent_id), state .. ' ' .. agent_id) end
return { 'ok', state, WAKES }
