--[[ pass_over.lua: a waking agent did not open in time, or cannot: it sleeps on, and work wakes another.
  KEYS  1 prefix
  ARGV  1 agent_id · 2 incarnation, if the agent says so itself, or "" by a sweep
  REPLY {"ok", state, {}} · {"absent"} · {"fenced"} · {"refused", state}: it has opened, or its time is not over
  EMITS nothing: agent.sleeping was emitted when it went to sleep
  TWICE a sweep finds the deadline gone and is refused; an agent finds itself asleep: the same answer
  Work does not wake it again until it has opened by itself, was sent to sleep or woken by hand, or registered anew.
  One that a sweep passed over may have missed that it was to wake: its renewals tell it so. ]]
local agent_id, incarnation = unpack(ARGV)
local record, deadline = key('agent', agent_id), 'waking:' .. agent_id
local known, state, passed_over = unpack(call('HMGET', record, 'incarnation', 'state', 'passed_over'))
if not known then
  call('ZREM', key('deadlines'), deadline)
  return { 'absent' }
end
if incarnation ~= '' and incarnation ~= known then return { 'fenced' } end
if incarnation ~= '' and state == 'sleeping' then
  if passed_over then call('HSET', record, 'passed_over', 'unable') end
  return { 'ok', state, {} }
end
local until_ms = tonumber(call('ZSCORE', key('deadlines'), deadline))
if state ~= 'waking' or incarnation == '' and until_ms > NOW then return { 'refused', state } end
call('HSET', record, 'passed_over', incarnation == '' and 'late' or 'unable')
rouse_another(agent_id)
take_state(agent_id, 'sleeping', '0')
return { 'ok', 'sleeping', {} }
