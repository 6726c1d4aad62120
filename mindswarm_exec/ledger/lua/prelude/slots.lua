-- slots.lua: a free slot takes up what waits; slots of processes that are gone

-- classes_waiting(agent) -> the classes with a backlog that the agent serves; few as a rule, and then it is
-- cheaper to ask for each of them
local function classes_waiting(agent)
  local backlog, serves = key('backlog'), key('serves', agent.id)
  if call('SCARD', backlog) > 4 then return call('SINTER', serves, backlog) end
  local served = {}
  for _, class_id in ipairs(call('SMEMBERS', backlog)) do
    if call('SISMEMBER', serves, class_id) == 1 then served[#served + 1] = class_id end
  end
  return served
end

-- best_waiting(agent) -> the execution with the lowest rank over the lanes that the agent serves, or nil
local function best_waiting(agent)
  local best, best_rank
  for _, class_id in ipairs(classes_waiting(agent)) do
    local task_type, least = demand_of(class_id)
    if not least or success_rate(agent.id, task_type) >= least then
      local head = call('ZRANGE', key('lane', class_id), 0, 0, 'WITHSCORES')
      local rank = tonumber(head[2])
      if rank and (not best_rank or rank < best_rank) then best, best_rank = head[1], rank end
    end
  end
  return best and load(best)
end

-- fill(agent, entropy): give its free slots the best waiting executions, by message; then offer what is left
local function fill(agent, entropy)
  while is_free(agent) do
    local x = best_waiting(agent)
    if not x then break end
    leave_lane(x)
    reserve(x, agent, 'fed', entropy)
    wake(agent, x)
    save(x)
  end
  refresh(agent)
end

-- free_slot(agent_id, attempt, nonce) -> was it held under this nonce?
local function free_slot(agent_id, attempt, nonce)
  local held = key('held', agent_id)
  if call('HGET', held, attempt) ~= nonce then return false end
  call('HDEL', held, attempt)
  return true
end

-- lost_with(agent_id) -> {attempt id, nonce, status, lost_attempts, max_lost_attempts or "", …} held by a
-- process that is gone. Slots that only dead code held are freed on the way
local function lost_with(agent_id)
  local held, lost = call('HGETALL', key('held', agent_id)), {}
  for i = 1, #held, 2 do
    local execution = key('execution', string.match(held[i], '^[^.]+'))
    local nonce, status, frozen, times, most, intent =
      unpack(call('HMGET', execution, 'nonce', 'status', 'frozen', 'lost_attempts', 'max_lost_attempts', 'intent_kind'))
    if nonce == held[i + 1] and (frozen or MOVES.release.sources[status]) then
      for _, value in ipairs({ held[i], nonce, status, times or '0', most or '' }) do lost[#lost + 1] = value end
    else
      call('HDEL', key('held', agent_id), held[i])
      if nonce == held[i + 1] and intent then call('HSET', execution, 'intent_slot_released_at_ms', ms(NOW)) end
    end
  end
  return lost
end
