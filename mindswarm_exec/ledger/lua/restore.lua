--[[ restore.lua: put an execution back as it was archived, if it is not there, so that it can be brought back.
  KEYS  1 prefix
  ARGV  1 execution_id · 2 instant of its end (ms) · 3+ field, value pairs of the record
  REPLY {"ok"}
  EMITS nothing
  TWICE the second call finds it there
  It counts as archived: what is not brought back after all is forgotten again. ]]
local id, ended_at = ARGV[1], ARGV[2]
local record = key('execution', id)
if call('EXISTS', record) == 1 then return { 'ok' } end
for i = 3, #ARGV, 2 do call('HSET', record, ARGV[i], ARGV[i + 1]) end
local status, seq, project_id, idempotency_key, parent_id =
  unpack(call('HMGET', record, 'status', 'seq', 'project_id', 'idempotency_key', 'parent_id'))
call('HSET', record, 'archived', seq, 'restored_at_ms', ms(NOW))
call('ZADD', key('status', status), ended_at, id)
if parent_id and call('EXISTS', key('execution', parent_id)) == 1 then call('SADD', key('children', parent_id), id) end
if idempotency_key and not call('SET', key('idempotency', project_id .. ' ' .. idempotency_key), id, 'NX') then
  call('HDEL', record, 'idempotency_key') -- it stands for a later execution now
end
return { 'ok' }
