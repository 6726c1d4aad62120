--[[ due.lua: what has passed its deadline.
  KEYS  1 prefix
  ARGV  1 most members to name
  REPLY {now:int, {ids of agents, silent or waking}, {{execution_id, status, nonce, attempt, agent_id, failed_attempts,
        deliveries, options, eligible_at_ms, queue_timeout_at_ms, delivery_at_ms, timeout_at_ms, stall_at_ms,
        pause_ack_at_ms, cancel_grace_at_ms}, …}, {ids of cancelled executions whose children are still to be cancelled},
        {ids of executions whose budget was raised, for which others still stand still}}
  EMITS nothing; notes the time of the sweep
  TWICE harmless ]]
call('SET', key('swept_at'), ms(NOW))
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
return { NOW, agents, executions, parents, raised }
