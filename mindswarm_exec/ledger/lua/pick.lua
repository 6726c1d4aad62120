--[[ pick.lua: of the executions in some statuses, in the order of listings, name those that match; look at so many only.
  KEYS  1 prefix
  ARGV  1 statuses, by spaces · 2 "newest" or "oldest" first · 3 instant to begin at (ms or ±inf)
        4 instant to end at (likewise) · 5 behind this execution_id among those of the first instant, or ""
        6 most executions to look at · 7 most to name · 8 text that the options hold, or ""
        9+ field, value pairs of the record
  REPLY {"ok", {execution_id, status, ms, …}, {execution_id, ms} that was looked at last, or {} if there are no more}
  EMITS nothing
  TWICE harmless
  The children of one parent are found by the parent, if it is there with all of them. ]]
local statuses, first, from, to, behind, most_seen, most, text = unpack(ARGV, 1, 8)
local CHUNK = 100 -- places read at once
local is_newest_first = first == 'newest'
local names, values, parent = {}, {}, nil
for i = 9, #ARGV, 2 do
  names[#names + 1], values[#values + 1] = ARGV[i], ARGV[i + 1]
  if ARGV[i] == 'parent_id' then parent = ARGV[i + 1] end
end
if text ~= '' then names[#names + 1] = 'options' end
most_seen, most = tonumber(most_seen), tonumber(most)

-- precedes(place, other) -> does it come before the other? A place is {id, status, instant, the same as text}
local function precedes(place, other)
  if not is_newest_first then place, other = other, place end
  return place[3] > other[3] or place[3] == other[3] and place[1] > other[1]
end

local beginning = behind ~= '' and { behind, '', tonumber(from) }
local function is_behind(place) return not beginning or precedes(beginning, place) end

local function matches(place)
  if not names[1] then return true end
  local found = call('HMGET', key('execution', place[1]), unpack(names))
  for i, value in ipairs(values) do
    if found[i] ~= value then return false end
  end
  return text == '' or string.find(found[#names] or '', text, 1, true) ~= nil
end

-- walk_status(status) -> a function that names the next place in it, nil at the end
local function walk_status(status)
  local offset, places, at, is_last = 0, {}, 0, false
  return function()
    repeat
      if at == #places then
        if is_last then return nil end
        local found = is_newest_first
          and call('ZRANGE', key('status', status), from, to, 'BYSCORE', 'REV', 'LIMIT', offset, CHUNK, 'WITHSCORES')
          or call('ZRANGE', key('status', status), from, to, 'BYSCORE', 'LIMIT', offset, CHUNK, 'WITHSCORES')
        if not found[1] then return nil end
        places, at, offset, is_last = {}, 0, offset + CHUNK, #found < 2 * CHUNK
        for i = 1, #found, 2 do places[#places + 1] = { found[i], status, tonumber(found[i + 1]), found[i + 1] } end
      end
      at = at + 1
    until is_behind(places[at])
    return places[at]
  end
end

-- walk_all() -> a function that names the next place in all the statuses
local function walk_all()
  local walks, heads = {}, {}
  for status in string.gmatch(statuses, '%S+') do
    local walk = walk_status(status)
    local head = walk()
    if head then walks[#walks + 1], heads[#heads + 1] = walk, head end
  end
  return function()
    local best
    for i = 1, #heads do
      if heads[i] and (not best or precedes(heads[i], heads[best])) then best = i end
    end
    if not best then return nil end
    local place = heads[best]
    heads[best] = walks[best]() or false
    return place
  end
end

-- walk_children(parent) -> the same of the children of one parent; nil if not all of them are known by it
local function walk_children()
  local family, known = key('children', parent), call('HMGET', key('execution', parent), 'status', 'restored_at_ms')
  if not known[1] or known[2] or call('SCARD', family) > most_seen then return nil end
  local found, at = {}, 0
  local low, high = tonumber(from) or -math.huge, tonumber(to) or math.huge
  if is_newest_first then low, high = tonumber(to) or -math.huge, tonumber(from) or math.huge end
  for _, id in ipairs(call('SMEMBERS', family)) do
    for status in string.gmatch(statuses, '%S+') do
      local instant = call('ZSCORE', key('status', status), id)
      local place = { id, status, tonumber(instant), instant }
      if instant and place[3] >= low and place[3] <= high and is_behind(place) then found[#found + 1] = place end
    end
  end
  table.sort(found, precedes)
  return function()
    at = at + 1
    return found[at]
  end
end

local walk = parent and walk_children() or walk_all()
local picked, seen, last = {}, 0, {}
for place in walk do
  seen = seen + 1
  if matches(place) then
    for _, fact in ipairs({ place[1], place[2], place[4] }) do picked[#picked + 1] = fact end
  end
  if seen == most_seen or #picked == 3 * most then
    last = { place[1], place[4] }
    break
  end
end
return { 'ok', picked, last }
