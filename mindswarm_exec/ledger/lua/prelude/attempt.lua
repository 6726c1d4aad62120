-- attempt.lua: what an agent is told of an attempt; wishes and clocks of one

local RUN_FIELDS = { 'nonce', 'attempt', 'task_type', 'project_id', 'task_id', 'payload', 'options', 'checkpoint',
  'failed_attempts', 'lost_attempts', 'intent_kind', 'agent_id' }

-- what follows them where the execution belongs to a trace
local TRACE_FIELDS = { 'traceparent', 'tracestate', 'waiting_since_ms', 'started_at_ms' }

-- attempt_of(x) -> {execution id, RUN_FIELDS..., TRACE_FIELDS... or nothing} as read by answers.read_claimed
local function attempt_of(x)
  local values = { x.id }
  for i = 1, #RUN_FIELDS do values[i + 1] = x[RUN_FIELDS[i]] or false end
  if x.traceparent then
    for i = 1, #TRACE_FIELDS do values[#values + 1] = x[TRACE_FIELDS[i]] or false end
  end
  return values
end

-- withdraw_intent(x): the wish is gone, obeyed or not
local function withdraw_intent(x)
  for _, field in ipairs({ 'kind', 'reason', 'requested_at_ms', 'acknowledged_at_ms', 'slot_released_at_ms',
    'checkpoint_id', 'error', 'overdue_at_ms', 'unresponsive' }) do
    unset(x, 'intent_' .. field)
  end
  unset(x, 'pause_ack_at_ms')
  unset(x, 'cancel_grace_at_ms')
  unset(x, 'pause_reason')
  if x.budget_owner then call('ZREM', key('starved', x.budget_owner), x.id) end
  unset(x, 'budget_owner')
end

-- note_release(x): if no slot is held for x any more, the receipt of the wish says so
local function note_release(x)
  if x.nonce and call('HGET', key('held', x.agent_id), x.id .. '.' .. x.attempt) == x.nonce then return end
  set(x, 'intent_slot_released_at_ms', ms(NOW))
end

-- acknowledge(x): the wish is obeyed. The slot may be taken still: by a frozen process, by code that goes on
local function acknowledge(x)
  if not x.intent_acknowledged_at_ms then set(x, 'intent_acknowledged_at_ms', ms(NOW)) end
  note_release(x)
end

-- intend(x, kind, reason): record a wish, in place of any earlier one
local function intend(x, kind, reason)
  withdraw_intent(x)
  set(x, 'intent_kind', kind)
  set(x, 'intent_reason', reason)
  set(x, 'intent_requested_at_ms', ms(NOW))
end

-- ask_to_pause(x, reason, data): a running attempt is to stop at its next safe point, unless a wish stands already
local function ask_to_pause(x, reason, data)
  if not x.intent_kind then
    intend(x, 'pause', reason)
    set(x, 'pause_ack_at_ms', ms(NOW + PAUSE_ACK_MS))
    emit(x, 'execution.pause_requested', data, true)
  end
  call('PUBLISH', key('control', x.agent_id), x.intent_kind .. ' ' .. x.id .. '.' .. x.attempt)
end

-- clear_clocks(x): no deadline of an attempt that is over may fire
local function clear_clocks(x)
  for _, name in ipairs({ 'eligible', 'queue_timeout', 'delivery', 'timeout', 'stall', 'pause_ack',
    'cancel_grace' }) do
    unset(x, name .. '_at_ms')
    unset(x, name .. '_left_ms')
  end
end

-- stop_clocks(x): while the attempt is frozen its timeouts stand still; what is left of them is kept
local function stop_clocks(x)
  local left = {}
  for _, name in ipairs({ 'timeout', 'stall' }) do
    local at = tonumber(x[name .. '_at_ms'])
    if at then left[name] = math.max(at - NOW, 1) end
  end
  clear_clocks(x)
  for name, rest in pairs(left) do set(x, name .. '_left_ms', ms(rest)) end
end

-- start_clocks(x): the timeouts of a frozen attempt go on from where they stood
local function start_clocks(x)
  for _, name in ipairs({ 'timeout', 'stall' }) do
    local left = tonumber(x[name .. '_left_ms'])
    if left then
      set(x, name .. '_at_ms', ms(NOW + left))
      unset(x, name .. '_left_ms')
    end
  end
end

-- withdraw(x, entropy) -> take x out of lane, key and slot; the id of the agent whose slot that freed, or nil
local function withdraw(x, entropy)
  leave(x)
  local freed = is_queued(x) and free_slot(x.agent_id, x.id .. '.' .. x.attempt, x.nonce)
  if is_queued(x) then end_attempt(x, 'withdrawn') end
  clear_clocks(x)
  return_permit(x, entropy)
  return freed and x.agent_id or nil
end
