--[[ due.lua: what has passed its deadline.
  KEYS  1 prefix
  ARGV  1 most members to name · 2 ms without a sweep after which agents have a lease from now on, or "" for never
  REPLY {now:int, {ids of agents, silent or waking}, {{execution_id, status, nonce, attempt, agent_id, failed_attempts,
        deliveries, options, eligible_at_ms, queue_timeout_at_ms, delivery_at_ms, timeout_at_ms, stall_at_ms,
        pause_ack_at_ms, cancel_grace_at_ms}, …}, {ids of cancelled executions whose children are still to be cancelled},
        {ids of executions whose budget was raised, for which others still stand still},
        {ids of agents whose lease begins anew}}
  EMITS nothing; notes the time of the sweep
  TWICE harmless
  Nobody swept, as while the server was away: then its agents could not renew either, and may run on. One that is not
  heard of until the new lease ends is lost then; it is given no other. ]]
local swept_at, patience = tonumber(call('GET', key('swept_at'))), tonumber(ARGV[2])
call('SET', key('swept_at'), ms(NOW))
local spared = {}
if swept_at and patience and NOW - swept_at > patience then
  for _, agent_id in ipairs(call('ZRANGE', key('agents'), 0, -1)) do
    local record, until_ms = key('agent', agent_id), ms(NOW + LEASE_MS)
    local state, expires, spared_until = unpack(call('HMGET', record, 'state', 'lease_expires_at_ms', 'spared_until_ms'))
    if state ~= 'offline' and expires ~= spared_until and tonumber(expires) < NOW + patience then
      call('HSET', record, 'lease_expires_at_ms', until_ms, 'spared_until_ms', until_ms)
      call('ZADD', key('deadlines'), until_ms, 'agent:' .. agent_id)
      spared[#spared + 1] = agent_id
    end
  end
end
local agents, executions, parents, raised = {}, {}, {}, {}
for _, member in ipairs(call('ZRANGE', key('deadlines'), '-inf', ms(NOW), 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local kind, id = string.match(member, '^(%a+):(.*)$')
  if kind == 'agent' or kind == 'waking' then
    agents[#agents + 1] = id
  elseif kind == 'cascade' then
    parents[#parents + 1] = id
  elseif kind == 'relief' then
    raised[#raised + 1] = id
  else
    local facts = call('HMGET', key('execution', id), 'status', 'nonce', 'attempt', 'agent_id', 'failed_attempts',
      'deliveries', 'options', 'eligible_at_ms', 'queue_timeout_at_ms', 'delivery_at_ms', 'timeout_at_ms',
      'stall_at_ms', 'pause_ack_at_ms', 'cancel_grace_at_ms')
    if facts[1] then
      table.insert(facts, 1, id)
      executions[#executions + 1] = facts
    else
      call('ZREM', key('deadlines'), member)
    end
  end
end
return { NOW, agents, executions, parents, raised, spared }
