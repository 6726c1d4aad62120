--[[ look.lua: all that explains where an execution stands or where one would go, read at one moment.
  KEYS  1 prefix
  ARGV  1 execution_id, or "" for one that is only thought of, as the rest says · 2 class_id · 3 project_id
        4 concurrency key or "" · 5 affinity key or "" · 6 rank (ms before now) · 7 most agents to name
        8 most waiting executions of each lane to name
  REPLY {"ok", now:int, {field, value, …}, {{agent_id, profile, state, accepts_work, max_concurrent, last_used,
        passed_over, registered_at_ms, success rate, load}, …}, agents registered:int, {ahead in its lane:int,
        length:int, {just ahead: id, project_id, …}}, {permits held:int, {holders}, ahead of it for a permit:int},
        last agent of the affinity key or "", {{class_id, demand, {rank, project_id, affinity key, …}}, …}}
        {"absent"}
  EMITS nothing
  TWICE harmless ]]
local id, class_id, project_id, permit, affinity, rank, most, most_waiting = unpack(ARGV)

-- place_in(line) -> how many go before it: those before its member, or where it would enter, as the newest
local function place_in(line) return call('ZRANK', line, id) or call('ZCOUNT', line, '-inf', rank) end

-- names(most) -> ids of agents: those that suit it before the others, and of those who is awake first: of thousands,
-- they are the ones that count
local function names(most)
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

-- facts_of(agent_id, task_type) -> what is to be known of an agent
local function facts_of(agent_id, task_type)
  local facts = call('HMGET', key('agent', agent_id), 'profile', 'state', 'accepts_work', 'max_concurrent', 'last_used',
    'passed_over', 'registered_at_ms')
  table.insert(facts, 1, agent_id)
  facts[9] = call('HGET', key('success', agent_id), task_type)
  facts[10] = call('HLEN', key('held', agent_id))
  return facts
end

-- waiting_in(class id) -> the class, its demand, and of the first in its lane what a new agent would take with them
local function waiting_in(waiting_class)
  local heads = {}
  local members = call('ZRANGE', key('lane', waiting_class), 0, most_waiting - 1, 'WITHSCORES')
  for i = 1, #members, 2 do
    local project, affinity_key = unpack(call('HMGET', key('execution', members[i]), 'project_id', 'affinity_key'))
    for _, value in ipairs({ members[i + 1], project or '', affinity_key or '' }) do heads[#heads + 1] = value end
  end
  return { waiting_class, call('GET', key('class', waiting_class)) or '{}', heads }
end

local fields = {}
if id ~= '' then
  fields = call('HGETALL', key('execution', id))
  if not fields[1] then return { 'absent' } end
  local x = {}
  for i = 1, #fields, 2 do x[fields[i]] = fields[i + 1] end
  class_id, project_id, permit, affinity = x.class_id, x.project_id, x.concurrency_key or '', x.affinity_key or ''
  rank = x.rank
else
  rank = ms(NOW - tonumber(rank))
end
most, most_waiting = tonumber(most), tonumber(most_waiting)
local agents, task_type = {}, (demand_of(class_id))
for _, agent_id in ipairs(names(most)) do agents[#agents + 1] = facts_of(agent_id, task_type) end
local lane, near = key('lane', class_id), {}
local ahead = place_in(lane)
for _, other in ipairs(ahead > 0 and call('ZRANGE', lane, math.max(0, ahead - 5), ahead - 1) or {}) do
  near[#near + 1] = other
  near[#near + 1] = call('HGET', key('execution', other), 'project_id') or ''
end
local permits = { 0, {}, 0 }
if permit ~= '' then
  local given = key('concurrency', project_id .. ' ' .. permit)
  local line = key('held_back', project_id .. ' ' .. permit)
  permits = { call('SCARD', given), call('SRANDMEMBER', given, 5), place_in(line) }
end
local last = affinity ~= '' and call('GET', key('affinity', project_id .. ' ' .. affinity)) or ''
local waiting = {}
for _, backlogged in ipairs(most_waiting > 0 and call('SMEMBERS', key('backlog')) or {}) do
  waiting[#waiting + 1] = waiting_in(backlogged)
end
return { 'ok', NOW, fields, agents, call('ZCARD', key('agents')), { ahead, call('ZCARD', lane), near }, permits, last,
  waiting }
