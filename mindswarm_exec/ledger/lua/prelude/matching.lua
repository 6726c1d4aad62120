-- matching.lua: which agent, why, and the message that wakes it

local WAKES = {} -- messages that this script could not hand to the broker itself: flat, six values each

-- wake(agent, x): one message to the agent's queue. Where broker and ledger are one server, it goes there now
local function wake(agent, x)
  local attempt = x.id .. '.' .. x.attempt
  if agent.wake_queue and agent.wake_queue ~= '' then
    local urgency = 9 - (tonumber(x.priority) or 0) -- on Redis kombu's priority 0 is the most urgent
    local queue = agent.wake_queue
    if urgency > 0 then queue = queue .. '\6\22' .. urgency end -- kombu's name of a priority step's list
    local filled = string.gsub(agent.wake_message, '@(%u+)@', { EXECUTION = x.id, NONCE = x.nonce,
      ATTEMPT = attempt, TASKTYPE = x.task_type, PRIORITY = urgency, TAG = redis.sha1hex(attempt .. NOW) })
    call('LPUSH', queue, filled)
    return
  end
  for _, value in ipairs({ agent.id, x.id, x.nonce, attempt, x.task_type, x.priority }) do
    WAKES[#WAKES + 1] = value
  end
end

-- affinity_of(x) -> the agent that ran it last: by its key, or on a resume the one it was paused on
local function affinity_of(x)
  return x.paused_on or x.affinity_key and call('GET', key('affinity', x.project_id .. ' ' .. x.affinity_key))
end

-- least_loaded(class id) -> for force_start: of up to 32 suitable agents the awake one with the least load
local function least_loaded(class_id)
  local best
  local task_type, least = demand_of(class_id)
  for _, agent_id in ipairs(call('SRANDMEMBER', key('suitable', class_id), 32)) do
    local agent = load_agent(agent_id)
    if agent and agent.accepts_work and (not best or agent.load < best.load)
      and (not least or success_rate(agent_id, task_type) >= least) then
      best = agent
    end
  end
  return best and best.id
end

local MOST_READ = 6 -- of those that are free: one to choose, those that a decision names, and whether there are more

-- choose(x) -> agent id, how it was chosen, and the best of those that were free with their packed scores; or nil.
-- Mirrors selection.choose
local function choose(x)
  local available = key('available', x.class_id)
  local free = call('ZRANGE', available, 0, MOST_READ - 1, 'REV', 'WITHSCORES')
  if not free[1] then
    if x.force_start then return least_loaded(x.class_id), 'forced', free end
    return nil
  end
  local preferred = x.preferred_agent_id
  if preferred and call('ZSCORE', available, preferred) then return preferred, 'preferred', free end
  local last = affinity_of(x)
  if last and last ~= free[1] then
    local score = call('ZSCORE', available, last)
    if score and tonumber(score) + AFFINITY_BONUS * 100 * LRU > tonumber(free[2]) then
      return last, 'affinity', free
    end
  end
  local is_pinned = x.demand and string.find(x.demand, '"agent_id":', 1, true)
  return free[1], is_pinned and 'assigned' or 'score', free
end

-- pin(x, agent_id, class_id, demand): x waits for this agent and no other, if the agent can serve it at all
local function pin(x, agent_id, class_id, demand)
  ensure_class(class_id, demand)
  if call('SISMEMBER', key('suitable', class_id), agent_id) == 1 then
    set(x, 'class_id', class_id)
    set(x, 'demand', demand)
  end
end

local MOST_NOTED = 4 -- others that a decision names; one more, if affinity favours it

-- told_of(id, score, affinity) -> another that was free, as a decision names it: its packed score, in which affinity
-- does not count, its load and slots, and its affinity if it has any. What was read is not worked on: that would cost
local function told_of(id, score, affinity)
  local told = ' ' .. id .. '=' .. score .. ':' .. call('HLEN', key('held', id)) .. '/'
    .. call('HGET', key('agent', id), 'max_concurrent')
  return affinity and told .. ':' .. affinity or told
end

-- told_of_others(x, agent, last, free) -> what idle and a free slot are worth; the best of the others that were free,
-- and the one that affinity favours; a + if there may be more
local function told_of_others(x, agent, last, free)
  local told, named = WEIGHTS, 0
  if last == agent.id then last = nil end
  for i = 1, #free, 2 do
    if free[i] ~= agent.id and named < MOST_NOTED then
      told = told .. told_of(free[i], free[i + 1], free[i] == last and AFFINITY_BONUS)
      if free[i] == last then last = nil end
      named = named + 1
    end
  end
  local score = last and named == MOST_NOTED and call('ZSCORE', key('available', x.class_id), last)
  if score then told = told .. told_of(last, score, AFFINITY_BONUS) end
  return #free == 2 * MOST_READ and told .. ' +' or told
end

-- record_decision(x, agent, how, free): why this agent and none of the others that were free, for explain: its score
-- and terms, load and slots, which match of all it is, and if there were any, the others. Read by service/noted.py
local function record_decision(x, agent, how, free)
  local score, idle, slots, success = points(agent, rate_of(agent, x.task_type))
  local last = affinity_of(x)
  local bonus = last == agent.id and AFFINITY_BONUS or 0
  local told = string.format('%s %s %.6g %.6g %.6g %.6g %.6g %d %d #%d', agent.id, how, score + bonus, idle, slots,
    success, bonus, agent.load, agent.max_concurrent, agent.last_used)
  if free[3] then told = told .. ' ' .. told_of_others(x, agent, last, free) end
  set(x, 'decision', told)
end

local NOBODY_ELSE = {}

-- reserve(x, agent, how, entropy, free): a slot of the agent is x's from now on, under a fresh nonce
local function reserve(x, agent, how, entropy, free)
  agent.last_used = call('INCR', key('uses'))
  record_decision(x, agent, how, free or NOBODY_ELSE)
  count_flow(x.class_id, 'out')
  set(x, 'agent_id', agent.id)
  set(x, 'nonce', fresh_nonce(entropy))
  set(x, 'attempt', (tonumber(x.attempt) or 0) + 1)
  set(x, 'queued_at_ms', ms(NOW))
  set(x, 'delivery_at_ms', ms(NOW + DELIVERY_MS))
  unset(x, 'deliveries')
  call('HSET', key('held', agent.id), x.id .. '.' .. x.attempt, x.nonce)
  agent.load = agent.load + 1
  call('HSET', key('agent', agent.id), 'last_used', agent.last_used)
  if x.affinity_key then
    call('SET', key('affinity', x.project_id .. ' ' .. x.affinity_key), agent.id, 'EX', 604800)
  end
  move(x, MOVES.queue, '{"attempt":' .. x.attempt .. ',"agent_id":"' .. agent.id .. '"}')
end

-- begin(x): the attempt starts to run; the clocks of its timeouts start
local function begin(x)
  set(x, 'started_at_ms', ms(NOW))
  unset(x, 'delivery_at_ms')
  if x.timeout_ms then set(x, 'timeout_at_ms', ms(NOW + x.timeout_ms + GRACE_MS)) end
  if x.stall_timeout_ms then set(x, 'stall_at_ms', ms(NOW + x.stall_timeout_ms + GRACE_MS)) end
  move(x, MOVES.start, '{"attempt":' .. x.attempt .. ',"agent_id":"' .. x.agent_id .. '"}')
end
