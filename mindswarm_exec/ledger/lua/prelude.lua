--[[ prelude.lua: what every script shares. Put before each of them, after the rendered constants:
  MOVES, WATCHED, TASK_STATUS (from lifecycle.py), DELIVERY_MS, GRACE_MS, LEASE_MS, HEAD_START_MS,
  IDLE_BONUS, FREE_SLOT_WEIGHT, SUCCESS_WEIGHT, AFFINITY_BONUS, SUCCESS_SMOOTHING, TEST_CLOCK.

  An execution is loaded once into a table `x`, changed by `set` and `move`, and written by `save` once.
  Everything that may refuse comes before the first write. ]]

local PREFIX = KEYS[1]
local SOURCE = 'ledger'
local call = redis.call

-- key(family, id) -> the name of a key; families stand in keys.py
local function key(family, id)
  if id then return PREFIX .. family .. ':' .. id end
  return PREFIX .. family
end

-- NOW: the server's clock in Unix milliseconds; one reading a script
local TIME = call('TIME')
local NOW = TIME[1] * 1000 + math.floor(TIME[2] / 1000)
if TEST_CLOCK then NOW = NOW + (tonumber(call('GET', key('clock_offset'))) or 0) end

-- ms(number) -> an integer as decimal digits (Lua would print 1.7e+12)
local function ms(number) return string.format('%.0f', number) end

-- fresh_nonce(entropy) -> the next of a row of nonces that the caller's 128 random bits give
local nonces_drawn = 0
local function fresh_nonce(entropy)
  nonces_drawn = nonces_drawn + 1
  if nonces_drawn == 1 then return entropy end
  return string.sub(redis.sha1hex(entropy .. nonces_drawn), 1, 32)
end

-- ---- events ---------------------------------------------------------------------------------------------

-- append(seq, type, project, task, execution, agent, data) -> event id; stream first, then whoever listens
local function append(seq, event_type, project_id, task_id, execution_id, agent_id, data)
  local events = key('events')
  local id = call('XADD', events, '*', 'seq', seq, 'type', event_type, 'project_id', project_id,
    'task_id', task_id, 'execution_id', execution_id, 'agent_id', agent_id, 'source', SOURCE, 'data', data)
  call('PUBLISH', events, cjson.encode({ id, seq, event_type, project_id, task_id, execution_id, agent_id,
    SOURCE, data }))
  return id
end

local function append_for_agent(event_type, agent_id, data)
  append(0, event_type, '', '', '', agent_id, data or '{}')
end

-- ---- executions -----------------------------------------------------------------------------------------

-- load(id) -> the execution as a table of its fields, or nil. One reading of the whole record is cheaper than
-- the server looking up a list of fields
local function load(id)
  local fields = call('HGETALL', key('execution', id))
  if not fields[1] then return nil end
  local x = { id = id, changes = {}, fresh = {} }
  for i = 1, #fields, 2 do x[fields[i]] = fields[i + 1] end
  x.seq = tonumber(x.seq)
  x.was = x.status
  for _, name in ipairs(WATCHED[x.status] or {}) do
    if x[name .. '_at_ms'] then x.was_watched = true end
  end
  return x
end

-- set(x, field, value): change a field
local function set(x, field, value)
  if x[field] == nil and x.changes[field] == nil then x.fresh[field] = true end
  x[field] = value
  x.changes[field] = value
end

-- unset(x, field): remove a field, if it is there
local function unset(x, field)
  if x[field] ~= nil then
    x[field] = nil
    if x.fresh[field] then x.changes[field] = nil else x.changes[field] = false end
  end
end

local function allows(row, x) return row.sources[x.status] == true end
local function is_running(x) return x.status == MOVES.start.target end
local function is_queued(x) return x.status == MOVES.queue.target end

-- end_attempt(x, how): the present attempt is settled; `how` is the row, or a word if no agent settled it
local function end_attempt(x, how) set(x, 'settled', x.nonce .. ' ' .. how) end

-- is_over(x) -> is the present attempt settled? What its agent may still send changes nothing
local function is_over(x) return x.settled ~= nil and string.sub(x.settled, 1, 32) == x.nonce end

-- emit(x, type, data, kept): the next event of x; `kept` also records it on the execution, for its history
local function emit(x, event_type, data, kept)
  x.seq = x.seq + 1
  x.changes.seq = x.seq
  local id = append(x.seq, event_type, x.project_id, x.task_id or '', x.id, x.agent_id or '', data)
  if kept then x.changes['event:' .. x.seq] = id .. ' ' .. event_type .. ' ' .. data end
end

-- move(x, row, data): one row of MOVES; the caller has checked that it is allowed
local function move(x, row, data)
  set(x, 'status', row.target)
  emit(x, row.event, data or '{}', true)
end

-- follow(x): bring the task of x, if x is its latest execution, in step
local function follow(x)
  local task = key('task', x.task_id)
  if call('HGET', task, 'execution_id') ~= x.id then return end
  local status = TASK_STATUS[x.status]
  if call('HGET', task, 'status') == status then return end
  call('HSET', task, 'status', status, 'updated_at_ms', ms(NOW))
  append(0, 'task.updated', x.project_id, x.task_id, x.id, '', cjson.encode({ status = status }))
end

-- watch(x): put the earliest deadline that counts in its status into `deadlines`, or none
local function watch(x)
  local earliest
  for _, name in ipairs(WATCHED[x.status] or {}) do
    local at = tonumber(x[name .. '_at_ms'])
    if at and (not earliest or at < earliest) then earliest = at end
  end
  if earliest then
    call('ZADD', key('deadlines'), ms(earliest), 'execution:' .. x.id)
    x.was_watched = true
  elseif x.was_watched then
    call('ZREM', key('deadlines'), 'execution:' .. x.id)
  end
end

-- save(x): write what changed: the record, the index by status, the deadline, the task
local function save(x)
  local written, removed = {}, {}
  for field, value in pairs(x.changes) do
    if value == false then
      removed[#removed + 1] = field
    else
      written[#written + 1] = field
      written[#written + 1] = value
    end
  end
  if written[1] then call('HSET', key('execution', x.id), unpack(written)) end
  if removed[1] then call('HDEL', key('execution', x.id), unpack(removed)) end
  if x.was ~= x.status then
    if x.was then call('ZREM', key('status', x.was), x.id) end
    call('ZADD', key('status', x.status), ms(NOW), x.id)
    if x.task_id then follow(x) end
  end
  watch(x)
  x.was, x.changes, x.fresh = x.status, {}, {}
end

-- ---- agents ---------------------------------------------------------------------------------------------

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

-- ---- matching -------------------------------------------------------------------------------------------

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

-- choose(x) -> agent id and how it was chosen, or nil. Mirrors selection.choose
local function choose(x)
  local available = key('available', x.class_id)
  local preferred = x.preferred_agent_id
  if preferred and call('ZSCORE', available, preferred) then return preferred, 'preferred' end
  local top = call('ZRANGE', available, 0, 0, 'REV', 'WITHSCORES')
  if not top[1] then
    if x.force_start then return least_loaded(x.class_id), 'forced' end
    return nil
  end
  local last = affinity_of(x)
  if last and last ~= top[1] then
    local score = call('ZSCORE', available, last)
    if score and tonumber(score) + AFFINITY_BONUS * 100 * LRU > tonumber(top[2]) then return last, 'affinity' end
  end
  return top[1], 'score'
end

-- record_decision(x, agent, how): why this agent, for explain; read by records.decision
local function record_decision(x, agent, how)
  local score, idle, free, success = points(agent, success_rate(agent.id, (demand_of(x.class_id))))
  local bonus = affinity_of(x) == agent.id and AFFINITY_BONUS or 0
  set(x, 'decision', string.format('%s %s %.6g %.6g %.6g %.6g %.6g %d %d', agent.id, how, score + bonus, idle, free,
    success, bonus, agent.load, agent.max_concurrent))
end

-- reserve(x, agent, how, entropy): a slot of the agent is x's from now on, under a fresh nonce
local function reserve(x, agent, how, entropy)
  record_decision(x, agent, how)
  set(x, 'agent_id', agent.id)
  set(x, 'nonce', fresh_nonce(entropy))
  set(x, 'attempt', (tonumber(x.attempt) or 0) + 1)
  set(x, 'queued_at_ms', ms(NOW))
  set(x, 'delivery_at_ms', ms(NOW + DELIVERY_MS))
  unset(x, 'deliveries')
  call('HSET', key('held', agent.id), x.id .. '.' .. x.attempt, x.nonce)
  agent.load = agent.load + 1
  agent.last_used = call('INCR', key('uses'))
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

local function count_depth(x, change)
  call('HINCRBY', key('depth'), x.project_id .. ' ' .. (x.priority or 0), change)
end

local function leave_lane(x)
  local lane = key('lane', x.class_id)
  if call('ZREM', lane, x.id) == 1 then count_depth(x, -1) end
  if call('EXISTS', lane) == 0 then call('SREM', key('backlog'), x.class_id) end
  unset(x, 'place')
end

-- enter(x, entropy): x is pending; put it where it has to wait, or on an agent at once. Saves x
local function enter(x, entropy)
  if x.eligible_at_ms and tonumber(x.eligible_at_ms) > NOW then
    set(x, 'place', 'delay')
    return save(x)
  end
  unset(x, 'eligible_at_ms')
  if x.queue_timeout_ms and not x.queue_timeout_at_ms then
    set(x, 'queue_timeout_at_ms', ms(NOW + x.queue_timeout_ms))
  end
  ensure_class(x.class_id, x.demand or '{"task_type":"' .. x.task_type .. '"}')
  if x.concurrency_key then
    local permits = key('concurrency', x.project_id .. ' ' .. x.concurrency_key)
    if call('SISMEMBER', permits, x.id) == 0 then
      if call('SCARD', permits) >= tonumber(x.concurrency_limit) then
        call('ZADD', key('held_back', x.project_id .. ' ' .. x.concurrency_key), x.rank, x.id)
        set(x, 'place', 'concurrency')
        return save(x)
      end
      call('SADD', permits, x.id)
    end
  end
  local agent_id, how = choose(x)
  if agent_id then
    local agent = load_agent(agent_id)
    unset(x, 'place')
    reserve(x, agent, how, entropy)
    refresh(agent)
    wake(agent, x)
    return save(x)
  end
  call('ZADD', key('lane', x.class_id), x.rank, x.id)
  call('SADD', key('backlog'), x.class_id)
  count_depth(x, 1)
  set(x, 'place', 'lane')
  save(x)
end

-- leave(x): take a pending x out of wherever it waits
local function leave(x)
  if x.place == 'lane' then
    leave_lane(x)
  elseif x.place == 'concurrency' then
    call('ZREM', key('held_back', x.project_id .. ' ' .. x.concurrency_key), x.id)
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
    local nonce, status, times, most =
      unpack(call('HMGET', execution, 'nonce', 'status', 'lost_attempts', 'max_lost_attempts'))
    if nonce == held[i + 1] and MOVES.release.sources[status] then
      for _, value in ipairs({ held[i], nonce, status, times or '0', most or '' }) do lost[#lost + 1] = value end
    else
      call('HDEL', key('held', agent_id), held[i])
    end
  end
  return lost
end

-- ---- what an agent needs to run an attempt --------------------------------------------------------------

local RUN_FIELDS = { 'nonce', 'attempt', 'task_type', 'project_id', 'task_id', 'payload', 'options', 'checkpoint',
  'failed_attempts', 'lost_attempts', 'intent_kind', 'agent_id' }

-- attempt_of(x) -> {execution id, RUN_FIELDS...} as read by operations.read_attempt
local function attempt_of(x)
  local values = { x.id }
  for i = 1, #RUN_FIELDS do values[i + 1] = x[RUN_FIELDS[i]] or false end
  return values
end

-- withdraw_intent(x): the wish is gone, obeyed or not
local function withdraw_intent(x)
  for _, field in ipairs({ 'kind', 'reason', 'requested_at_ms', 'acknowledged_at_ms', 'slot_released_at_ms',
    'checkpoint_id', 'error' }) do
    unset(x, 'intent_' .. field)
  end
end

-- acknowledge(x, kept): the wish is obeyed; unless the slot is kept, none is held for x any more
local function acknowledge(x, kept)
  set(x, 'intent_acknowledged_at_ms', ms(NOW))
  if not kept then set(x, 'intent_slot_released_at_ms', ms(NOW)) end
end

-- intend(x, kind, reason): record a wish, in place of any earlier one
local function intend(x, kind, reason)
  withdraw_intent(x)
  set(x, 'intent_kind', kind)
  set(x, 'intent_reason', reason)
  set(x, 'intent_requested_at_ms', ms(NOW))
end

-- clear_clocks(x): no deadline of an attempt that is over may fire
local function clear_clocks(x)
  for _, name in ipairs({ 'eligible', 'queue_timeout', 'delivery', 'timeout', 'stall' }) do
    unset(x, name .. '_at_ms')
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
