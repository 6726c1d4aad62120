--[[ due.lua: what has passed its deadline.
  KEYS  1 prefix
  ARGV  1 most members to name · 2 ms without a sweep after which nobody can have been heard of, or "" for never
  REPLY {now:int, {ids of agents, silent or waking}, {{execution_id, status, nonce, attempt, agent_id, failed_attempts,
        deliveries, options, eligible_at_ms, queue_timeout_at_ms, delivery_at_ms, timeout_at_ms, stall_at_ms,
        pause_ack_at_ms, cancel_grace_at_ms}, …}, {ids of cancelled executions whose children are still to be cancelled},
        {ids of executions whose budget was raised, for which others still stand still},
        {ids of agents whose lease begins anew}}
  EMITS nothing; notes the time of the sweep
  TWICE harmless
  Where nobody swept, as while the server was away, nobody could be heard of either, and may run on: agents have a lease
  from now on, and handlers their time to stall. Whoever is not heard of in that time is given no other. ]]

-- spare_agents(patience) -> the ids of those whose lease is over, or soon, and begins anew
local function spare_agents(patience)
  local spared, until_ms = {}, ms(NOW + LEASE_MS)
  for _, agent_id in ipairs(call('ZRANGE', key('agents'), 0, -1)) do
    local record = key('agent', agent_id)
    local state, expires, spared_until = unpack(call('HMGET', record, 'state', 'lease_expires_at_ms', 'spared_until_ms'))
    if state ~= 'offline' and expires ~= spared_until and tonumber(expires) < NOW + patience then
      call('HSET', record, 'lease_expires_at_ms', until_ms, 'spared_until_ms', until_ms)
      call('ZADD', key('deadlines'), until_ms, 'agent:' .. agent_id)
      spared[#spared + 1] = agent_id
    end
  end
  return spared
end

-- spare_handlers(patience): those that count as stalled, or soon, have their time anew
local function spare_handlers(patience)
  for _, member in ipairs(call('ZRANGE', key('deadlines'), '-inf', ms(NOW + patience), 'BYSCORE')) do
    local x = string.sub(member, 1, 10) == 'execution:' and load(string.sub(member, 11))
    if x and x.stall_at_ms and x.stall_at_ms ~= x.stall_spared_until_ms then
      local until_ms = ms(NOW + x.stall_timeout_ms + GRACE_MS)
      if tonumber(until_ms) > tonumber(x.stall_at_ms) then
        set(x, 'stall_at_ms', until_ms)
        set(x, 'stall_spared_until_ms', until_ms)
        save(x)
      end
    end
  end
end

local swept_at, patience = tonumber(call('GET', key('swept_at'))), tonumber(ARGV[2])
call('SET', key('swept_at'), ms(NOW))
local spared = {}
if swept_at and patience and NOW - swept_at > patience then
  spared = spare_agents(patience)
  spare_handlers(patience)
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
