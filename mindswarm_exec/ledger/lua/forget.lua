--[[ forget.lua: remove executions that ended before a retention, classes long unused, events too many.
  KEYS  1 prefix
  ARGV  1 retention (ms) · 2 most executions to remove · 3 events to keep
        4 "1" to remove only executions that are archived as they are · 5+ terminal statuses
  REPLY {"ok", executions removed:int}
  EMITS nothing
  TWICE the second call removes what the first left ]]
local before, most, removed = ms(NOW - tonumber(ARGV[1])), tonumber(ARGV[2]), 0
local only_archived = ARGV[4] == '1'
for i = 5, #ARGV do
  local index = key('status', ARGV[i])
  for _, id in ipairs(call('ZRANGE', index, '-inf', before, 'BYSCORE', 'LIMIT', 0, most - removed)) do
    local record = key('execution', id)
    local project_id, idempotency_key, archived, seq, parent_id =
      unpack(call('HMGET', record, 'project_id', 'idempotency_key', 'archived', 'seq', 'parent_id'))
    if not only_archived or archived == seq then -- a record that is gone has neither
      if idempotency_key then call('DEL', key('idempotency', project_id .. ' ' .. idempotency_key)) end
      if parent_id then call('SREM', key('children', parent_id), id) end -- it may live on, with ever new children
      call('UNLINK', record, key('children', id), key('starved', id))
      call('ZREM', index, id)
      removed = removed + 1
    end
  end
end
for _, class_id in ipairs(call('ZRANGE', key('classes'), '-inf', before, 'BYSCORE', 'LIMIT', 0, 100)) do
  if call('EXISTS', key('lane', class_id)) == 0 then
    for _, agent_id in ipairs(call('SMEMBERS', key('suitable', class_id))) do
      call('SREM', key('serves', agent_id), class_id)
    end
    call('DEL', key('class', class_id), key('suitable', class_id), key('available', class_id),
      key('awake', class_id), key('asleep', class_id))
    call('ZREM', key('classes'), class_id)
  end
end
-- events that are still to be rolled up stay, unless they are as many again
local kept, read = tonumber(ARGV[3]), call('HGET', key('rolled'), 'read')
if read then kept = math.max(kept, math.min(stream_counts() - read, 2 * kept)) end
call('XTRIM', key('events'), 'MAXLEN', '~', kept)
return { 'ok', removed }
