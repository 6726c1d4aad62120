--[[ set_agent_state.lua: open an agent for work, or close it; let an operator wake one that sleeps.
  KEYS  1 prefix
  ARGV  1 entropy · 2 agent_id · 3 incarnation, or "" by an operator · 4 state · 5 "1" if it accepts work
        6 event or "" · 7 data of the event
  REPLY {"ok", state it is in now, wakes} · {"absent"} · {"fenced"} · {"refused", state}
  EMITS the event, if the state changed; agent.wake_requested instead, where it wakes by its own word
        execution.released for what it gives back; execution.queued for what it takes up, or another agent does
  Closing gives back at once what was queued for it and is not yet claimed: nothing is lost by it. Work that only
  sleepers could serve then wakes one, perhaps this agent.
  What has slept opens by its own word alone, after its hooks: for an operator it is waking until then. An agent does
  not open against the word of an operator.
  TWICE the entropy is remembered: the state that it is in, no second effect: work may have woken it since ]]
local entropy, agent_id, incarnation, state, accepts, event, data = unpack(ARGV)
local record, control = key('agent', agent_id), key('control', agent_id)
local known, present, slept, passed_over, latest =
  unpack(call('HMGET', record, 'incarnation', 'state', 'slept', 'passed_over', 'latest_word'))
local by_operator, opens = incarnation == '', accepts == '1'
if not known then return { 'absent' } end
if not by_operator and incarnation ~= known then return { 'fenced' } end
if latest == entropy then return { 'ok', present, WAKES } end
if by_operator and present == 'offline' then return { 'refused', present } end
local may_open = present == 'awake' or present == 'waking' or present == 'sleeping' and passed_over
if opens and not by_operator and not may_open then return { 'refused', present } end
call('HSET', record, 'latest_word', entropy)
SOURCE = by_operator and 'client' or 'agent:' .. agent_id
if opens and by_operator and slept then
  call('HDEL', record, 'passed_over')
  append_for_agent('agent.wake_requested', agent_id, data)
  if present ~= 'waking' then take_state(agent_id, 'waking', '0') end
  call('PUBLISH', control, 'waking ' .. agent_id)
  return { 'ok', 'waking', WAKES }
end
if present ~= state and event ~= '' and not (slept and state == 'sleeping') then append_for_agent(event, agent_id, data) end
if by_operator then call('PUBLISH', control, state .. ' ' .. agent_id) end
if state == 'sleeping' then call('HSET', record, 'slept', '1') end
if state == 'sleeping' and by_operator then call('HDEL', record, 'passed_over') end
if present == 'waking' and not opens then rouse_another(agent_id) end
take_state(agent_id, state, accepts)
if opens then
  fill(load_agent(agent_id), entropy)
  return { 'ok', state, WAKES }
end
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
return { 'ok', call('HGET', record, 'state'), WAKES }
