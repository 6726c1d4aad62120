--[[ register.lua: an agent's process announces itself; an earlier process of that name is fenced.
  KEYS  1 prefix
  ARGV  1 agent_id · 2 incarnation · 3 profile as JSON (task_types, capabilities, labels: what is matched)
        4+ field, value pairs of the record (max_concurrent, handlers, wake_queue, wake_message, …)
  REPLY {"ok", {attempt id, nonce, status, lost_attempts, max_lost_attempts or "", …}}: attempts of earlier
        processes, lost and to be settled by the caller
  EMITS agent.registered, once an incarnation
  TWICE the incarnation is known: the same answer, no second event
  The agent takes no work yet: `set_agent_state` opens it when the caller has settled what was lost. ]]
local agent_id, incarnation, profile = unpack(ARGV, 1, 3)
SOURCE = 'agent:' .. agent_id
local record = key('agent', agent_id)
local known = call('HGET', record, 'incarnation')
if known ~= incarnation then
  call('ZADD', key('agents'), 'NX', ms(NOW), agent_id)
  local served = call('SMEMBERS', key('serves', agent_id))
  for _, class_id in ipairs(served) do
    call('SREM', key('suitable', class_id), agent_id)
    call('SREM', key('awake', class_id), agent_id)
    call('ZREM', key('asleep', class_id), agent_id)
    call('ZREM', key('available', class_id), agent_id)
  end
  call('DEL', key('serves', agent_id))
  call('HDEL', record, 'slept', 'passed_over')
  call('ZREM', key('deadlines'), 'waking:' .. agent_id)
  put_state(agent_id, 'awake', '0')
  call('HSET', record, 'incarnation', incarnation, 'profile', profile, 'registered_at_ms', ms(NOW),
    'lease_expires_at_ms', ms(NOW + LEASE_MS), unpack(ARGV, 4))
  call('ZADD', key('deadlines'), ms(NOW + LEASE_MS), 'agent:' .. agent_id)
  local agent, decoded = load_agent(agent_id), cjson.decode(profile)
  for _, class_id in ipairs(call('ZRANGE', key('classes'), 0, -1)) do
    local demand = call('GET', key('class', class_id))
    if demand and suits(cjson.decode(demand), agent_id, decoded) then link(class_id, agent) end
  end
  for _, class_id in ipairs(served) do -- it may no longer serve them: then a sleeper may have to
    if call('EXISTS', key('lane', class_id)) == 1 then rouse(class_id) end
  end
  if known then call('PUBLISH', key('control', agent_id), 'fenced ' .. incarnation) end
  append_for_agent('agent.registered', agent_id, '{"incarnation":"' .. incarnation .. '"}')
end
return { 'ok', lost_with(agent_id) }
