-- execution.lua: one execution as a table: loaded once, changed, saved once

-- load(id) -> the execution as a table of its fields, or nil. One reading of the whole record is cheaper than
-- the server looking up a list of fields
local function load(id)
  local fields = call('HGETALL', key('execution', id))
  if not fields[1] then return nil end
  local x = { id = id, changes = {}, fresh = {} }
  for i = 1, #fields, 2 do x[fields[i]] = fields[i + 1] end
  x.seq = tonumber(x.seq)
  x.was, x.was_in = x.status, x.place
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

-- the latest requests of control that changed an execution are known by their ids, should they be repeated
local MOST_REQUESTS = 8

-- is_repeated(x, request) -> was this request of control carried out before?
local function is_repeated(x, request)
  return x.requests ~= nil and string.find(' ' .. x.requests .. ' ', ' ' .. request .. ' ', 1, true) ~= nil
end

-- note_request(x, request): it is carried out; of those remembered the oldest gives way
local function note_request(x, request)
  local kept = { request }
  for earlier in string.gmatch(x.requests or '', '%S+') do
    if #kept < MOST_REQUESTS then kept[#kept + 1] = earlier end
  end
  set(x, 'requests', table.concat(kept, ' '))
end

-- emit(x, type, data, kept): the next event of x; `kept` also records it on the execution, for its history
local function emit(x, event_type, data, kept)
  x.seq = x.seq + 1
  x.changes.seq = x.seq
  local id = append(x.seq, event_type, x.project_id, x.task_id or '', x.id, x.agent_id or '', data)
  if kept then x.changes['event:' .. x.seq] = id .. ' ' .. event_type .. ' ' .. data end
end

-- move(x, row, data): one row of MOVES; the caller has checked that it is allowed. How long it waits is told in
-- its trace, if it belongs to one
local function move(x, row, data)
  set(x, 'status', row.target)
  if x.traceparent and row.target == MOVES.create.target then set(x, 'waiting_since_ms', ms(NOW)) end
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

-- tally(family, field, change): counts of a hash, those of nought left out: projects come and go for ever
local function tally(family, field, change)
  if call('HINCRBY', key(family), field, change) == 0 then call('HDEL', key(family), field) end
end

-- count_place(x): what is pending in no lane is counted by project and by the place where it waits
local function count_place(x)
  local before, after = x.was_in, x.place
  if before == after then return end
  if before and before ~= 'lane' then tally('elsewhere', x.project_id .. ' ' .. before, -1) end
  if after and after ~= 'lane' then tally('elsewhere', x.project_id .. ' ' .. after, 1) end
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
  count_place(x)
  watch(x)
  x.was_in = x.place
  x.was, x.changes, x.fresh = x.status, {}, {}
end
