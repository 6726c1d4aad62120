-- waiting.lua: where a pending execution waits: a lane, a delay, a concurrency key

local function count_depth(x, change) tally('depth', x.project_id .. ' ' .. (x.priority or 0), change) end

local function leave_lane(x)
  local lane = key('lane', x.class_id)
  if call('ZREM', lane, x.id) == 1 then count_depth(x, -1) end
  if call('EXISTS', lane) == 0 then call('SREM', key('backlog'), x.class_id) end
  unset(x, 'place')
end

-- note_held_back(x): x is held back by its concurrency key no longer; for how long it was is kept
local function note_held_back(x)
  if not x.held_back_at_ms then return end
  set(x, 'waited_concurrency_ms', ms((tonumber(x.waited_concurrency_ms) or 0) + NOW - tonumber(x.held_back_at_ms)))
  unset(x, 'held_back_at_ms')
end

-- enter(x, entropy): x is pending; put it where it has to wait, or on an agent at once. Saves x
local function enter(x, entropy)
  if x.eligible_at_ms and tonumber(x.eligible_at_ms) > NOW then
    set(x, 'place', 'delay')
    return save(x)
  end
  unset(x, 'eligible_at_ms')
  if x.queue_timeout_ms and not x.queue_timeout_at_ms then
    set(x, 'queue_timeout_at_ms', ms(NOW + (x.queue_timeout_left_ms or x.queue_timeout_ms)))
    unset(x, 'queue_timeout_left_ms')
  end
  ensure_class(x.class_id, x.demand or '{"task_type":"' .. x.task_type .. '"}')
  if x.concurrency_key then
    local permits = key('concurrency', x.project_id .. ' ' .. x.concurrency_key)
    if call('SISMEMBER', permits, x.id) == 0 then
      if call('SCARD', permits) >= tonumber(x.concurrency_limit) then
        call('ZADD', key('held_back', x.project_id .. ' ' .. x.concurrency_key), x.rank, x.id)
        set(x, 'place', 'concurrency')
        if not x.held_back_at_ms then set(x, 'held_back_at_ms', ms(NOW)) end
        return save(x)
      end
      call('SADD', permits, x.id)
    end
    note_held_back(x)
  end
  count_flow(x.class_id, 'in')
  local agent_id, how, free = choose(x)
  if agent_id then
    local agent = load_agent(agent_id)
    unset(x, 'place')
    reserve(x, agent, how, entropy, free)
    refresh(agent)
    wake(agent, x)
    return save(x)
  end
  call('ZADD', key('lane', x.class_id), x.rank, x.id)
  call('SADD', key('backlog'), x.class_id)
  count_depth(x, 1)
  set(x, 'place', 'lane')
  save(x)
  rouse(x.class_id, tonumber(x.priority) >= WAKE_PRIORITY)
end

-- leave(x): take a pending x out of wherever it waits
local function leave(x)
  if x.place == 'lane' then
    leave_lane(x)
  elseif x.place == 'concurrency' then
    call('ZREM', key('held_back', x.project_id .. ' ' .. x.concurrency_key), x.id)
    note_held_back(x)
    unset(x, 'place')
  elseif x.place then
    unset(x, 'place')
  end
end

-- return_permit(x, entropy): x no longer counts against its concurrency key; whoever waits for it enters
local function return_permit(x, entropy)
  if not x.concurrency_key then return end
  local id = x.project_id .. ' ' .. x.concurrency_key
  if call('SREM', key('concurrency', id), x.id) == 0 then return end
  local head = call('ZRANGE', key('held_back', id), 0, 0)[1]
  while head do
    local waiting = load(head)
    if waiting and call('SCARD', key('concurrency', id)) >= tonumber(waiting.concurrency_limit) then return end
    call('ZREM', key('held_back', id), head)
    if waiting then enter(waiting, entropy) end
    head = call('ZRANGE', key('held_back', id), 0, 0)[1]
  end
end
