--[[ expire_lease.lua: an agent was not heard of for a lease: it is offline and what it held is lost.
  KEYS  1 prefix
  ARGV  1 agent_id · 2 ms after which an offline agent is forgotten
  REPLY {"alive"} · {"offline", {attempt id, nonce, status, lost_attempts, max_lost_attempts or "", …}}: to be settled
        by the caller; comes again a second later until nothing is held · {"forgotten"}
  EMITS agent.offline, once
  TWICE the second call finds the agent offline and names what is still held ]]
local agent_id, retention = ARGV[1], tonumber(ARGV[2])
local record, member = key('agent', agent_id), 'agent:' .. agent_id
local state, expires = unpack(call('HMGET', record, 'state', 'lease_expires_at_ms'))
if not state then
  call('ZREM', key('deadlines'), member)
  return { 'forgotten' }
end
if tonumber(expires) > NOW then
  call('ZADD', key('deadlines'), expires, member)
  return { 'alive' }
end
call('HSET', record, 'incarnation', '')
if state ~= 'offline' then
  if state == 'waking' then rouse_another(agent_id) end
  take_state(agent_id, 'offline', '0')
  append_for_agent('agent.offline', agent_id, '{"reason":"lease_expired"}')
end
local lost = lost_with(agent_id)
if lost[1] then
  call('ZADD', key('deadlines'), ms(NOW + 1000), member)
elseif tonumber(expires) + retention > NOW then
  call('ZADD', key('deadlines'), ms(tonumber(expires) + retention), member)
else
  for _, class_id in ipairs(call('SMEMBERS', key('serves', agent_id))) do
    call('SREM', key('suitable', class_id), agent_id)
  end
  call('DEL', record, key('serves', agent_id), key('success', agent_id), key('held', agent_id))
  call('ZREM', key('agents'), agent_id)
  call('ZREM', key('deadlines'), member)
  return { 'forgotten' }
end
return { 'offline', lost }
