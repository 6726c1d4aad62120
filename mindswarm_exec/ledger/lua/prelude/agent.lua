-- agent.lua: agents, what they suit, and the sets of those that are free

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
    'wake_message')
  if not values[2] then return nil end
  return { id = id, accepts_work = values[1] == '1', max_concurrent = tonumber(values[2]),
    last_used = tonumber(values[3]) or 0, wake_queue = values[4], wake_message = values[5],
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

-- offer(agent, class id): enter the agent into the class's available set, or take it out
local function offer(agent, class_id)
  local task_type, least = demand_of(class_id)
  local rate = success_rate(agent.id, task_type)
  if is_free(agent) and (not least or rate >= least) then
    call('ZADD', key('available', class_id), ms(packed(agent, rate)), agent.id)
  else
    call('ZREM', key('available', class_id), agent.id)
  end
end

-- refresh(agent): after any change of its load, state or success rates
local function refresh(agent)
  for _, class_id in ipairs(call('SMEMBERS', key('serves', agent.id))) do offer(agent, class_id) end
end

-- link(class id, demand, agent): note that the agent meets the demand
local function link(class_id, agent)
  call('SADD', key('suitable', class_id), agent.id)
  call('SADD', key('serves', agent.id), class_id)
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
