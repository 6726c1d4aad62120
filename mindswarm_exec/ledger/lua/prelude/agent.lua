-- agent.lua: agents, what they suit, the sets of those that are free, awake and asleep, and whom work wakes

-- suits(demand, agent_id, profile) -> does the agent, as registered, meet the demand? Mirrors selection.suits
local function meets(constraint, value)
  local op, wanted = constraint.op, constraint.value
  if op == 'exists' then return (value ~= nil) == (wanted ~= false) end
  if op == '!=' then return value ~= wanted end
  if value == nil then return false end
  if op == '=' then return value == wanted end
  if op == 'in' then
    for _, one in ipairs(wanted) do
      if one == value then return true end
    end
    return false
  end
  if type(value) ~= 'number' then return false end
  if op == '>' then return value > wanted end
  if op == '>=' then return value >= wanted end
  if op == '<' then return value < wanted end
  return value <= wanted
end

local function contains(list, wanted)
  for _, one in ipairs(list or {}) do
    if one == wanted then return true end
  end
  return false
end

local function suits(demand, agent_id, profile)
  if demand.agent_id and demand.agent_id ~= agent_id then return false end
  if not contains(profile.task_types, demand.task_type) then return false end
  if contains(demand.excluded_agents, agent_id) then return false end
  for _, capability in ipairs(demand.required_capabilities or {}) do
    if not contains(profile.capabilities, capability) then return false end
  end
  for _, constraint in ipairs(demand.constraints or {}) do
    if constraint.value == cjson.null then constraint.value = nil end
    if not meets(constraint, profile.labels[constraint.label]) then return false end
  end
  return true
end

local LRU = 34359738368 -- 2^35: a packed score is whole hundredths of points × 2^35 + how long unused

-- load_agent(id) -> the agent as a table, or nil
local function load_agent(id)
  local values = call('HMGET', key('agent', id), 'accepts_work', 'max_concurrent', 'last_used', 'wake_queue',
    'wake_message', 'state', 'passed_over')
  if not values[2] then return nil end
  local state = values[6]
  return { id = id, accepts_work = values[1] == '1', max_concurrent = tonumber(values[2]),
    last_used = tonumber(values[3]) or 0, wake_queue = values[4], wake_message = values[5], state = state,
    is_up = state == 'awake' or state == 'waking', can_be_woken = state == 'sleeping' and not values[7],
    load = call('HLEN', key('held', id)) }
end

local function is_free(agent) return agent.accepts_work and agent.load < agent.max_concurrent end

-- demand_of(class id) -> task type and minimal success rate, read off the id
local function demand_of(class_id)
  local task_type, least = string.match(class_id, '^(.-)#%x+#(.*)$')
  return task_type, tonumber(least)
end

-- points(agent, rate) -> score and its terms, without affinity. Mirrors selection.score
local function points(agent, rate)
  local idle = agent.load == 0 and IDLE_BONUS or 0
  local free = (agent.max_concurrent - agent.load) * FREE_SLOT_WEIGHT
  return idle + free + SUCCESS_WEIGHT * rate, idle, free, SUCCESS_WEIGHT * rate
end

-- packed(agent, rate) -> the score as kept in `available`: points first, then the one longest unused
local function packed(agent, rate)
  local score = math.min(points(agent, rate), 2600)
  return math.floor(score * 100 + 0.5) * LRU + (LRU - 1 - agent.last_used % LRU)
end

local function success_rate(agent_id, task_type)
  return tonumber(call('HGET', key('success', agent_id), task_type)) or 1
end

-- rate_of(agent, task type) -> the success rate of a loaded agent; the latest is not read again
local function rate_of(agent, task_type)
  if agent.rated_on ~= task_type then
    agent.rated_on, agent.rate = task_type, success_rate(agent.id, task_type)
  end
  return agent.rate
end

-- offer(agent, class id) -> does the agent serve the class, now or soon? Enters it into the sets of the class where
-- its load and success rate count: `available`, and for a sleeper `asleep`
local function offer(agent, class_id)
  local task_type, least = demand_of(class_id)
  local rate = rate_of(agent, task_type)
  local reaches = not least or rate >= least
  if reaches and is_free(agent) then
    call('ZADD', key('available', class_id), ms(packed(agent, rate)), agent.id)
  else
    call('ZREM', key('available', class_id), agent.id)
  end
  if agent.can_be_woken then -- the highest rate first, then the one longest unused
    local unused = 8589934591 - agent.last_used % 8589934592 -- 2^33: beside a rate in millionths it fits a double
    local score = math.floor(rate * 1000000 + 0.5) * 8589934592 + unused
    call('ZADD', key('asleep', class_id), ms(score), agent.id)
  end
  return reaches and agent.is_up
end

local MOST_STATES = 16 -- changes of state that a record keeps: five sleeps with their waking and opening

-- put_state(id, state, accepts): the agent's record says so, and keeps since when, newest first: the instant, how many
-- matches were made before it, the state, '1' if it takes work. A history that lacks a change begins anew
local function put_state(id, state, accepts)
  local record = key('agent', id)
  local present, accepted, earlier = unpack(call('HMGET', record, 'state', 'accepts_work', 'states'))
  if present == state and accepted == accepts then return end
  local kept = { ms(NOW) .. ' ' .. (call('GET', key('uses')) or '0') .. ' ' .. state .. ' ' .. accepts }
  if earlier and string.match(earlier, '^%d+ %d+ ([^;]+)') == present .. ' ' .. accepted then
    for one in string.gmatch(earlier, '[^;]+') do
      if #kept < MOST_STATES then kept[#kept + 1] = one end
    end
  end
  call('HSET', record, 'state', state, 'accepts_work', accepts, 'states', table.concat(kept, ';'))
end

-- sleeper_for(class id, is_urgent) -> whom work that waits in the class wakes: its best sleeper if only sleepers could
-- serve it and none of them is waking already, or in any case if the work is urgent. Mirrors selection.choose_sleeper
local function sleeper_for(class_id, is_urgent)
  local task_type, least = demand_of(class_id)
  local awake = key('awake', class_id)
  if not is_urgent and not least and call('SCARD', awake) > 0 then return end
  local best = call('ZRANGE', key('asleep', class_id), 0, 0, 'REV')[1]
  if not best or least and success_rate(best, task_type) < least then return end
  if not is_urgent and least then
    for _, agent_id in ipairs(call('SMEMBERS', awake)) do
      if success_rate(agent_id, task_type) >= least then return end
    end
  end
  return best
end

-- rouse(class id, is_urgent): work waits in the class: wake whom it has to
local function rouse(class_id, is_urgent)
  local best = sleeper_for(class_id, is_urgent)
  if not best then return end
  put_state(best, 'waking', '0')
  call('ZADD', key('deadlines'), ms(NOW + WAKE_MS), 'waking:' .. best)
  for _, served in ipairs(call('SMEMBERS', key('serves', best))) do
    call('ZREM', key('asleep', served), best)
    call('SADD', key('awake', served), best)
  end
  call('PUBLISH', key('control', best), 'waking ' .. best)
end

-- refresh(agent): after any change of its load, state or success rates. Where it no longer serves a class whose lane
-- is not empty, a sleeper may have to
local function refresh(agent)
  local unserved = {}
  for _, class_id in ipairs(call('SMEMBERS', key('serves', agent.id))) do
    if not offer(agent, class_id) then unserved[#unserved + 1] = class_id end
  end
  for _, class_id in ipairs(unserved) do
    if call('EXISTS', key('lane', class_id)) == 1 then rouse(class_id) end
  end
end

-- take_state(id, state, accepts): the agent is in this state from now on, in its record and in the sets of its classes
local function take_state(id, state, accepts)
  put_state(id, state, accepts)
  if state == 'awake' or state == 'offline' then call('HDEL', key('agent', id), 'slept', 'passed_over') end
  if state == 'waking' then
    call('ZADD', key('deadlines'), ms(NOW + WAKE_MS), 'waking:' .. id)
  else
    call('ZREM', key('deadlines'), 'waking:' .. id)
  end
  local agent = load_agent(id)
  for _, class_id in ipairs(call('SMEMBERS', key('serves', id))) do
    call(agent.is_up and 'SADD' or 'SREM', key('awake', class_id), id)
    if not agent.can_be_woken then call('ZREM', key('asleep', class_id), id) end
  end
  refresh(agent)
end

-- rouse_another(id): an agent did not wake: where urgent work still waits that it was to serve, the next best is woken.
-- Among much that waits only the first few are looked at; whoever takes those takes the others after them
local function rouse_another(id)
  for _, class_id in ipairs(call('SMEMBERS', key('serves', id))) do
    for _, waiting in ipairs(call('ZRANGE', key('lane', class_id), 0, 31)) do
      if (tonumber(call('HGET', key('execution', waiting), 'priority')) or 0) >= WAKE_PRIORITY then
        rouse(class_id, true)
        break
      end
    end
  end
end

-- link(class id, agent): note that the agent meets the demand
local function link(class_id, agent)
  call('SADD', key('suitable', class_id), agent.id)
  call('SADD', key('serves', agent.id), class_id)
  if agent.is_up then call('SADD', key('awake', class_id), agent.id) end
  offer(agent, class_id)
end

-- ensure_class(class id, json): the class exists afterwards; a new one meets every registered agent once
local function ensure_class(class_id, json)
  if call('ZADD', key('classes'), ms(NOW), class_id) == 0 then return end
  call('SET', key('class', class_id), json)
  local demand = cjson.decode(json)
  local candidates = demand.agent_id and { demand.agent_id } or call('ZRANGE', key('agents'), 0, -1)
  for _, agent_id in ipairs(candidates) do
    local profile = call('HGET', key('agent', agent_id), 'profile')
    if profile and suits(demand, agent_id, cjson.decode(profile)) then link(class_id, load_agent(agent_id)) end
  end
end
