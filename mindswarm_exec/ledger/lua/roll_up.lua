--[[ roll_up.lua: count what ended since the last call into the minute of its end, and sample the slots.
  KEYS  1 prefix
  ARGV  1 most events to read · 2 minutes are kept (ms)
  REPLY {"ok", events read:int, events still to be read:int, events lost:int, the open minute (ms):int, now (ms):int,
        {hour that holds counts and is not folded (ms), …}}
  EMITS nothing
  TWICE the cursor moves with the counts: the second call reads on where the first ended
  Its clock is that of event ids. The times of an execution are read off the events on its record, which are never
  changed: it makes no difference how late an end is counted, or what has become of the execution meanwhile.
  Nothing is ever counted into a minute before the open one, whatever the server's clock does: what was added up over
  minutes that are over stays right for good. ]]
local most, minutes = unpack(ARGV)
local MINUTE, HOUR = 60000, 3600000
local CLOCK = TIME[1] * 1000 + math.floor(TIME[2] / 1000)
local MOST_FETCHED = 100 -- events fetched by name; of longer records everything is read
local LONGEST_SAMPLE = 60000 -- a sample speaks for no more than this (ms), however long ago the last one was

local ENDS = {}
for _, row in ipairs({ MOVES.complete, MOVES.fail, MOVES.cancel, MOVES.time_out }) do ENDS[row.event] = row.target end
local PHASES = {
  [MOVES.create.event] = 'waits',
  [MOVES.postpone.event] = 'waits',
  [MOVES.release.event] = 'waits',
  [MOVES.resume.event] = 'waits',
  [MOVES.start.event] = 'runs',
  [MOVES.pause.event] = 'held',
}

-- record_of(id, seq) -> the task type, and the events kept on the record up to `seq`, by their seq; nil if it is gone
local function record_of(id, seq)
  local kept, names = {}, { 'task_type' }
  if seq > MOST_FETCHED then
    local fields, task_type = call('HGETALL', key('execution', id)), nil
    for i = 1, #fields, 2 do
      local number = tonumber(string.match(fields[i], '^event:(%d+)$'))
      if number then kept[number] = fields[i + 1] end
      if fields[i] == 'task_type' then task_type = fields[i + 1] end
    end
    return task_type, kept
  end
  for i = 1, seq do names[i + 1] = 'event:' .. i end
  local values = call('HMGET', key('execution', id), unpack(names))
  for i = 1, seq do kept[i] = values[i + 1] or nil end
  return values[1], kept
end

-- lived(kept, seq) -> ms waited, ms run (nil if it never did) in the life that event `seq` ended: since it was created
-- or brought back. While it was paused it did neither. Mirrors service/spans.py
local function lived(kept, seq)
  local spent, phase, since = {}, 'over', 0
  for number = 1, seq do
    local at, event_type, data = string.match(kept[number] or '', '^(%d+)%-%d+ (%S+) (.*)$')
    local entered = ENDS[event_type] and 'over' or PHASES[event_type]
    if event_type == MOVES.release.event and phase == 'held' then entered = nil end -- it stays paused
    if event_type == MOVES.resume.event and string.find(data, '"in_place":true', 1, true) then entered = 'runs' end
    if entered then
      if phase == 'over' then
        spent = { waits = 0 }
      else
        spent[phase] = (spent[phase] or 0) + at - since
      end
      phase, since = entered, tonumber(at)
    end
  end
  return spent.waits, spent.runs
end

-- bucket_of(span) -> the bucket of a span in ms: one each up to 31 ms, then 16 for each doubling. Mirrors
-- service/histogram.py
local function bucket_of(span)
  if span < 32 then return span end
  local _, exponent = math.frexp(span)
  return (exponent - 5) * 16 + math.floor(span / 2 ^ (exponent - 5))
end

local rolled = key('rolled')
local cursor, read, lost, sampled_at, open = unpack(call('HMGET', rolled, 'event_id', 'read', 'lost', 'sampled_at_ms',
  'minute_ms'))
open = tonumber(open) or 0

local tally = {} -- by start of the minute, then group: what is lost, and by name and measure: amount
local function tallied(at, group)
  local minute = math.max(at - at % MINUTE, open)
  local groups = tally[minute] or {}
  local counted = groups[group] or { names = {} }
  groups[group], tally[minute] = counted, groups
  return counted
end

local function measures_of(at, group, name)
  local names = tallied(at, group).names
  local measures = names[name] or {}
  names[name] = measures
  return measures
end

local function add(measures, measure, amount) measures[measure] = (measures[measure] or 0) + amount end

local function count_end(at, status, execution_id, seq, project_id, agent_id)
  local task_type, kept = record_of(execution_id, seq)
  local waited, ran
  if task_type then waited, ran = lived(kept, seq) end
  local names = { agent = agent_id, task_type = task_type or '', project = project_id, status = status }
  local waited_in, ran_in = waited and 'waited.' .. bucket_of(waited), ran and 'ran.' .. bucket_of(ran)
  for group, name in pairs(names) do
    local measures = measures_of(at, group, name)
    add(measures, status, 1)
    if waited then
      add(measures, 'waited_ms', waited)
      add(measures, waited_in, 1)
    end
    if ran then
      add(measures, 'ran_ms', ran)
      add(measures, ran_in, 1)
    end
  end
end

-- sample(elapsed): for this long each agent that is there has had its slots, and held what it holds now
local function sample(elapsed)
  for _, agent_id in ipairs(call('ZRANGE', key('agents'), 0, -1)) do
    local state, slots = unpack(call('HMGET', key('agent', agent_id), 'state', 'max_concurrent'))
    if slots and state ~= 'offline' then
      local measures = measures_of(CLOCK, 'agent', agent_id)
      add(measures, 'busy_ms', call('HLEN', key('held', agent_id)) * elapsed)
      add(measures, 'slots_ms', slots * elapsed)
    end
  end
end

-- store(): one entry for each minute and group, whatever the number of ends in it
local function store()
  for minute, groups in pairs(tally) do
    call('ZADD', key('unfolded'), ms(minute - minute % HOUR), ms(minute - minute % HOUR))
    for group, counted in pairs(groups) do
      local name = key('counted', ms(minute) .. ':' .. group)
      call('RPUSH', name, cjson.encode(counted))
      call('PEXPIREAT', name, ms(math.max(minute + MINUTE, CLOCK) + minutes))
    end
  end
end

local added, trimmed = stream_counts()
read, lost = tonumber(read) or trimmed, tonumber(lost) or 0 -- what was trimmed before the first call is not missed
if added < read then read = trimmed end -- the stream was removed, and has begun anew
if trimmed > read then
  for _, group in ipairs({ 'agent', 'task_type', 'project', 'status' }) do
    tallied(CLOCK, group).lost = trimmed - read
  end
  lost, read = lost + trimmed - read, trimmed
end
local found, latest = call('XRANGE', key('events'), cursor and '(' .. cursor or '-', '+', 'COUNT', most), 0
for _, entry in ipairs(found) do
  local at, said = tonumber(string.match(entry[1], '^%d+')), entry[2] -- said: names and values as `append` wrote them
  local status = ENDS[said[4]]
  if status then count_end(at, status, said[10], tonumber(said[2]), said[6], said[12]) end
  latest = at
end
if #found < tonumber(most) then latest = math.max(latest, CLOCK) end -- else there may be more, from this one on
if found[1] then cursor = found[#found][1] end
local elapsed = CLOCK - (tonumber(sampled_at) or CLOCK)
if elapsed >= 1000 then sample(math.min(elapsed, LONGEST_SAMPLE)) end
if elapsed >= 1000 or elapsed < 0 or not sampled_at then sampled_at = ms(CLOCK) end
store()
read, open = read + #found, math.max(open, latest - latest % MINUTE)
call('HSET', rolled, 'event_id', cursor or '0-0', 'read', ms(read), 'lost', ms(lost), 'sampled_at_ms', sampled_at,
  'minute_ms', ms(open))
return { 'ok', #found, math.max(0, added - read), lost, open, math.max(open, CLOCK),
  call('ZRANGE', key('unfolded'), 0, -1) }
