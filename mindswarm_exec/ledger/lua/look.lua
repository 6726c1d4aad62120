--[[ look.lua: all that explains where an execution stands or where one would go, read at one moment.
  KEYS  1 prefix
  ARGV  1 execution_id, or "" for one that is only thought of, as the next six say · 2 class_id · 3 demand as JSON,
        or "" if it is not to enter
        4 project_id · 5 concurrency key or "" · 6 affinity key or "" · 7 priority
        8 most agents to name · 9 slots of one more agent, 0 for none · 10 its agent_id · 11 its profile as JSON
  REPLY {"ok", execution_id, now:int, swept_at or "", {field, value, …}, {{agent_id, profile, state, accepts_work,
        max_concurrent, last_used, passed_over, registered_at_ms, lease_expires_at_ms, success rate, load,
        its changes of state, or "" where there is no choice to be explained}, …}, {agents registered:int, is its class
        known: "1" or "0"}, {ahead in its lane:int, length:int, ahead in other lanes of its agents:int or -1 for too
        many lanes, {just ahead: id, project_id, …}}, {permits held:int, {holder: id, status, agent_id, …}, ahead of it
        for a permit:int, {first in line: id, limit}}, last agent of the affinity key or "", {spent budget: owner,
        meter, spent, limit}, {taken by one more agent:int, "1" if the last use of the affinity key is among it}}
        {"absent"}
  EMITS nothing
  TWICE harmless: the script is flagged to write nothing, and the server holds it to that ]]
local id, class_id, demand, project_id, permit, affinity, priority, most, slots, one_more, profile = unpack(ARGV)
local NEAR, MOST_LANES = 5, 256
most, slots = tonumber(most), tonumber(slots)

local is_urgent = tonumber(priority) >= WAKE_PRIORITY
local fields, x, rank = {}, {}, ms(NOW - tonumber(priority) * HEAD_START_MS)
if id ~= '' then
  fields = call('HGETALL', key('execution', id))
  if not fields[1] then return { 'absent' } end
  for i = 1, #fields, 2 do x[fields[i]] = fields[i + 1] end
  class_id, project_id, permit, affinity = x.class_id, x.project_id, x.concurrency_key or '', x.affinity_key or ''
  rank = x.rank
end
local is_known = call('ZSCORE', key('classes'), class_id)

-- --- agents ---------------------------------------------------------------------------------------------

-- names() -> ids of agents: those that suit it before the others, and of those who is awake first: of thousands, they
-- are the ones that count. A thought of a class that is new meets every agent, as a submission does
local function names()
  if demand ~= '' and not is_known then return call('ZRANGE', key('agents'), 0, -1) end
  local found, known = {}, {}
  local function add(members)
    for _, agent_id in ipairs(members) do
      if #found < most and not known[agent_id] then
        known[agent_id] = true
        found[#found + 1] = agent_id
      end
    end
  end
  if most > 0 then
    add(call('ZRANGE', key('available', class_id), 0, most - 1, 'REV'))
    add(call('SRANDMEMBER', key('awake', class_id), most))
    add(call('ZRANGE', key('asleep', class_id), 0, most - 1, 'REV'))
    add(call('SRANDMEMBER', key('suitable', class_id), most))
    add(call('ZRANGE', key('agents'), 0, most - 1))
  end
  return found
end

-- facts_of(agent_id, task_type) -> what is to be known of an agent; its past only of what was placed, or is archived
local tells_past = x.decision or id == '' and demand == ''
local function facts_of(agent_id, task_type)
  local facts = call('HMGET', key('agent', agent_id), 'profile', 'state', 'accepts_work', 'max_concurrent', 'last_used',
    'passed_over', 'registered_at_ms', 'lease_expires_at_ms')
  table.insert(facts, 1, agent_id)
  facts[10] = call('HGET', key('success', agent_id), task_type)
  facts[11] = call('HLEN', key('held', agent_id))
  facts[12] = tells_past and call('HGET', key('agent', agent_id), 'states') or ''
  return facts
end

local agents, task_type, least = {}, demand_of(class_id)
for _, agent_id in ipairs(names()) do agents[#agents + 1] = facts_of(agent_id, task_type) end

-- --- lanes ----------------------------------------------------------------------------------------------

local lane, near, ahead, elsewhere, length = key('lane', class_id), {}, 0, 0, 0
local taken, served = {}, {} -- what one more agent would take up: by id; the classes that it serves

-- goes_first(a, b): of two that wait, as the ledger orders them
local function goes_first(a, b) return a.rank < b.rank or a.rank == b.rank and a.id < b.id end

-- take_up(lanes): one more agent opens, and takes the first in rank over the lanes that it serves
local function take_up(lanes)
  local first, latest, decoded = {}, '+inf', cjson.decode(profile)
  for _, other in ipairs(lanes) do
    local asked = call('GET', key('class', other))
    if asked and suits(cjson.decode(asked), one_more, decoded) then
      served[other] = true
      local heads = call('ZRANGE', key('lane', other), '-inf', latest, 'BYSCORE', 'LIMIT', 0, slots, 'WITHSCORES')
      for i = 1, #heads, 2 do first[#first + 1] = { id = heads[i], rank = tonumber(heads[i + 1]), class_id = other } end
      table.sort(first, goes_first)
      for i = #first, slots + 1, -1 do first[i] = nil end
      if #first == slots then latest = ms(first[slots].rank) end
    end
  end
  for _, one in ipairs(first) do taken[one.id] = one end
  return first
end

-- reaches(agent_id, class id): is its success rate what the class asks for?
local function reaches(agent_id, asked_type, asked)
  return not asked or success_rate(agent_id, asked_type) >= asked
end

-- in_common(pool, other) -> agents of the pool that suit the other class too; one is enough if only that is asked. A
-- pool is a set, or where the class is new a list
local function in_common(pool, other, one_is_enough)
  local suitable = key('suitable', other)
  if type(pool) == 'string' then
    if not one_is_enough then return call('SINTER', pool, suitable) end
    return call('SINTERCARD', 2, pool, suitable, 'LIMIT', 1) == 1 and { true } or {}
  end
  local found = {}
  for i, is_in in ipairs(pool[1] and call('SMISMEMBER', suitable, unpack(pool)) or {}) do
    if is_in == 1 then found[#found + 1] = pool[i] end
  end
  return found
end

-- share(pool, other) -> could one agent of the pool take work of either class?
local function share(pool, other)
  local other_type, other_least = demand_of(other)
  if not least and not other_least then return in_common(pool, other, true)[1] ~= nil end
  for _, agent_id in ipairs(in_common(pool, other)) do
    if reaches(agent_id, task_type, least) and reaches(agent_id, other_type, other_least) then return true end
  end
  return false
end

-- wakes_before(a, b): of two sleepers, as `asleep` orders them
local function wakes_before(a, b)
  local function order(facts) return math.floor((tonumber(facts[10]) or 1) * 1000000 + 0.5), tonumber(facts[6]) or 0 end
  local rate, used = order(a)
  local other_rate, other_used = order(b)
  if rate ~= other_rate then return rate > other_rate end
  if used ~= other_used then return used < other_used end
  return a[1] > b[1]
end

-- met_now(is_there) -> the same of a class that is new
local function met_now(is_there)
  local decoded, up, all, sleeper, is_served = cjson.decode(demand), {}, {}, nil, is_there
  for _, facts in ipairs(agents) do
    if facts[2] and suits(decoded, facts[1], cjson.decode(facts[2])) then
      if facts[3] == 'awake' or facts[3] == 'waking' then
        if #up < most then up[#up + 1] = facts[1] end
        is_served = is_served or reaches(facts[1], task_type, least)
      elseif facts[3] == 'sleeping' and not facts[7] and (not sleeper or wakes_before(facts, sleeper)) then
        sleeper = facts
      end
      if #all < most then all[#all + 1] = facts[1] end
    end
  end
  local woken = sleeper and (is_urgent or not is_served) and reaches(sleeper[1], task_type, least) and sleeper[1]
  return (up[1] or woken or is_there) and up or all, woken
end

-- pool_of(is_there) -> its agents that are awake, or if there is none (not even one more), all that suit it; and whom
-- the arrival of a thought would wake, who is then one of them too
local function pool_of(is_there)
  if not is_known then return met_now(is_there) end
  local awake = key('awake', class_id)
  local woken = demand ~= '' and (is_urgent or not is_there) and sleeper_for(class_id, is_urgent)
  return (woken or is_there or call('EXISTS', awake) == 1) and awake or key('suitable', class_id), woken
end

-- note_near(members): some of those that go before it, with their ranks
local function note_near(members)
  for i = 1, #members, 2 do
    if not taken[members[i]] then near[#near + 1] = { id = members[i], rank = tonumber(members[i + 1]) } end
  end
end

-- look_elsewhere(lanes, first): what goes before it in the lanes that its agents serve too
local function look_elsewhere(lanes, first)
  local suits_more = slots > 0 and suits(cjson.decode(demand), one_more, cjson.decode(profile))
  local pool, woken = pool_of(suits_more)
  local shared = {}
  for _, other in ipairs(lanes) do
    if other ~= class_id
      and (suits_more and served[other] or share(pool, other) or woken and share({ woken }, other)) then
      shared[other] = true
      elsewhere = elsewhere + call('ZCOUNT', key('lane', other), '-inf', '(' .. rank)
      note_near(call('ZRANGE', key('lane', other), '(' .. rank, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, NEAR, 'WITHSCORES'))
    end
  end
  for _, one in ipairs(first) do
    if shared[one.class_id] and one.rank < tonumber(rank) then elsewhere = elsewhere - 1 end
  end
end

-- nearest_of(all) -> ids with their projects of the last few of those that go before it
local function nearest_of(all)
  local found = {}
  table.sort(all, goes_first)
  for i = math.max(1, #all - NEAR + 1), #all do
    found[#found + 1] = all[i].id
    found[#found + 1] = call('HGET', key('execution', all[i].id), 'project_id') or ''
  end
  return found
end

local taken_up, is_last = {}, '0'
if demand ~= '' or x.place == 'lane' then
  local few = call('SCARD', key('backlog')) <= MOST_LANES
  local lanes = (few or slots > 0) and call('SMEMBERS', key('backlog')) or {}
  if slots > 0 then taken_up = take_up(lanes) end
  local place = call('ZRANK', lane, id)
  ahead, length = place or call('ZCOUNT', lane, '-inf', rank), call('ZCARD', lane)
  if place and place > 0 then
    note_near(call('ZRANGE', lane, math.max(0, place - NEAR), place - 1, 'WITHSCORES'))
  elseif not place then
    note_near(call('ZRANGE', lane, rank, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, NEAR, 'WITHSCORES'))
  end
  if few then look_elsewhere(lanes, taken_up) else elsewhere = -1 end
  for _, one in ipairs(taken_up) do
    if one.class_id == class_id then
      length = length - 1
      if one.rank <= tonumber(rank) then ahead = ahead - 1 end
    end
    if affinity ~= '' then
      local project, used = unpack(call('HMGET', key('execution', one.id), 'project_id', 'affinity_key'))
      if project == project_id and used == affinity then is_last = '1' end
    end
  end
end

-- --- what else may hold it ------------------------------------------------------------------------------

local permits = { 0, {}, 0, {} }
if permit ~= '' then
  local given = key('concurrency', project_id .. ' ' .. permit)
  local line, holders = key('held_back', project_id .. ' ' .. permit), {}
  for _, holder in ipairs(call('SRANDMEMBER', given, NEAR)) do
    local status, agent_id = unpack(call('HMGET', key('execution', holder), 'status', 'agent_id'))
    for _, value in ipairs({ holder, status or '', agent_id or '' }) do holders[#holders + 1] = value end
  end
  local first = call('ZRANGE', line, 0, 0)[1]
  local limit = first and call('HGET', key('execution', first), 'concurrency_limit')
  permits = { call('SCARD', given), holders, call('ZRANK', line, id) or call('ZCOUNT', line, '-inf', rank),
    limit and { first, limit } or {} }
end
local last = affinity ~= '' and call('GET', key('affinity', project_id .. ' ' .. affinity)) or ''
local budget = {}
if x.pause_reason and x.budget_owner then
  local meter, spent, limit = spent_budget(load(x.budget_owner))
  if meter then budget = { x.budget_owner, meter, spent, limit } end
end
return { 'ok', id, NOW, call('GET', key('swept_at')) or '', fields, agents,
  { call('ZCARD', key('agents')), is_known and '1' or '0' }, { ahead, length, elsewhere, nearest_of(near) }, permits,
  last, budget, { #taken_up, is_last } }
