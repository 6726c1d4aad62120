--[[ look.lua: all that explains where an execution stands or where one would go, read at one moment.
  KEYS  1 prefix
  ARGV  1 execution_id, or "" for one that is only thought of, as the rest says · 2 class_id · 3 project_id
        4 concurrency key or "" · 5 affinity key or "" · 6 rank (ms before now) · 7 most agents to name
  REPLY {"ok", now:int, {field, value, …}, {{agent_id, profile, state, accepts_work, max_concurrent, last_used,
        passed_over, registered_at_ms, success rate, load}, …}, agents registered:int, {ahead in its lane:int,
        length:int, {ids just ahead}}, {permits held:int, {holders}}, last agent of the affinity key or ""}
        {"absent"}
  EMITS nothing
  TWICE harmless ]]
local id, class_id, project_id, permit, affinity, rank, most = unpack(ARGV)
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
local task_type = demand_of(class_id)
most = tonumber(most)
local names, known = {}, {}
local function name(agent_id)
  if #names < most and not known[agent_id] then
    known[agent_id] = true
    names[#names + 1] = agent_id
  end
end
if most > 0 then -- those that suit it before the others: of thousands, they are the ones that count
  for _, agent_id in ipairs(call('SRANDMEMBER', key('suitable', class_id), most)) do name(agent_id) end
  for _, agent_id in ipairs(call('ZRANGE', key('agents'), 0, most - 1)) do name(agent_id) end
end
local agents = {}
for _, agent_id in ipairs(names) do
  local facts = call('HMGET', key('agent', agent_id), 'profile', 'state', 'accepts_work', 'max_concurrent', 'last_used',
    'passed_over', 'registered_at_ms')
  table.insert(facts, 1, agent_id)
  facts[9] = call('HGET', key('success', agent_id), task_type)
  facts[10] = call('HLEN', key('held', agent_id))
  agents[#agents + 1] = facts
end
local lane = key('lane', class_id)
local ahead = call('ZRANK', lane, id) or call('ZCOUNT', lane, '-inf', '(' .. rank)
local near = ahead > 0 and call('ZRANGE', lane, math.max(0, ahead - 5), ahead - 1) or {}
local permits = key('concurrency', project_id .. ' ' .. permit)
local holders = permit ~= '' and call('SRANDMEMBER', permits, 5) or {}
local last = affinity ~= '' and call('GET', key('affinity', project_id .. ' ' .. affinity)) or ''
return { 'ok', NOW, fields, agents, call('ZCARD', key('agents')), { ahead, call('ZCARD', lane), near },
  { permit ~= '' and call('SCARD', permits) or 0, holders }, last }
