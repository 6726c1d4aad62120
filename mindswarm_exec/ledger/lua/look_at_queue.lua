--[[ look_at_queue.lua: what waits, how fast it moves and who could take it, read at one moment.
  KEYS  1 prefix
  ARGV  1 most classes to name · 2 most of those that wait longest to look at · 3 minutes of the flow to add up
        4+ statuses to count
  REPLY {"ok", now (ms):int, {executions by status:int, …}, {"<project> <priority>", in lanes, …},
        {"<project> <place>", pending elsewhere, …}, longest pending since (ms) or "",
        {{demand, waiting:int, suitable agents:int, available agents:int, since (ms) or "", in:int, out:int}, …},
        {state, agents:int, …}, slots:int, slots taken:int}
  EMITS nothing
  TWICE harmless: the script is flagged to write nothing, and the server holds it to that ]]
local most_classes, most_oldest, minutes = unpack(ARGV)

-- flow_of(class id) -> how many came in and went out in the last minutes, the present one among them
local function flow_of(class_id)
  local came, went = 0, 0
  for back = 0, minutes - 1 do
    local flow = key('flow', ms((math.floor(NOW / 60000) - back) * 60000))
    local counts = call('HMGET', flow, class_id .. ' in', class_id .. ' out')
    came, went = came + (tonumber(counts[1]) or 0), went + (tonumber(counts[2]) or 0)
  end
  return came, went
end

-- began(id) -> since when it waits
local function began(id)
  local created, retried = unpack(call('HMGET', key('execution', id), 'created_at_ms', 'retried_at_ms'))
  return retried or created or ''
end

local pending = key('status', MOVES.create.target)
local oldest, since = call('ZRANGE', pending, 0, most_oldest - 1, 'WITHSCORES'), {}
local backlog = call('SMEMBERS', key('backlog'))
for i = 1, backlog[1] and #oldest or 0, 2 do
  local class_id, place = unpack(call('HMGET', key('execution', oldest[i]), 'class_id', 'place'))
  if place == 'lane' and not since[class_id] then since[class_id] = oldest[i + 1] end
end

local classes = {}
table.sort(backlog)
for i = 1, math.min(#backlog, tonumber(most_classes)) do
  local class_id = backlog[i]
  local lane = key('lane', class_id)
  local head = call('ZRANGE', lane, 0, 0)[1]
  local came, went = flow_of(class_id)
  classes[i] = { call('GET', key('class', class_id)) or '{}', call('ZCARD', lane),
    call('SCARD', key('suitable', class_id)), call('ZCARD', key('available', class_id)),
    since[class_id] or head and began(head) or '', came, went }
end

local by_state, states, slots, taken = {}, {}, 0, 0
for _, agent_id in ipairs(call('ZRANGE', key('agents'), 0, -1)) do
  local state, most = unpack(call('HMGET', key('agent', agent_id), 'state', 'max_concurrent'))
  if state then
    by_state[state] = (by_state[state] or 0) + 1
    if state ~= 'offline' then
      slots, taken = slots + tonumber(most), taken + call('HLEN', key('held', agent_id))
    end
  end
end
for state, count in pairs(by_state) do
  states[#states + 1] = state
  states[#states + 1] = count
end

local counts = {}
for i = 4, #ARGV do counts[i - 3] = call('ZCARD', key('status', ARGV[i])) end
return { 'ok', NOW, counts, call('HGETALL', key('depth')), call('HGETALL', key('elsewhere')), oldest[2] or '', classes,
  states, slots, taken }
