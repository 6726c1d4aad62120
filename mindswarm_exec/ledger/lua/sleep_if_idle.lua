--[[ sleep_if_idle.lua: an agent that holds nothing goes to sleep, by its own wish.
  KEYS  1 prefix
  ARGV  1 agent_id · 2 incarnation
  REPLY {"ok", state it is in now, {}}: sleeping, or waking if work wakes it at once · {"absent"} · {"fenced"}
        {"refused", state}: it was just given something, or an operator wants it otherwise
  EMITS agent.sleeping, unless it has slept since it opened
  TWICE the second call finds it sleeping or waking: the same answer ]]
local agent_id, incarnation = unpack(ARGV)
local record = key('agent', agent_id)
local known, state = unpack(call('HMGET', record, 'incarnation', 'state'))
if not known then return { 'absent' } end
if known ~= incarnation then return { 'fenced' } end
if state == 'awake' then
  if call('HLEN', key('held', agent_id)) > 0 then return { 'refused', state } end
  SOURCE = 'agent:' .. agent_id
  append_for_agent('agent.sleeping', agent_id)
  call('HSET', record, 'slept', '1')
  take_state(agent_id, 'sleeping', '0')
  state = call('HGET', record, 'state')
end
if state ~= 'sleeping' and state ~= 'waking' then return { 'refused', state } end
return { 'ok', state, {} }
