--[[ put_task.lua: create a task, or change one.
  KEYS  1 prefix
  ARGV  1 task_id · 2 "create" or "update" · 3 event · 4 data of the event · 5 project_id
        6+ field, value pairs to store
  REPLY {"ok"} · {"absent"} · {"existing"}
  EMITS the event, unless an update changes nothing
  TWICE a second "create" answers "existing"; a second "update" changes nothing ]]
SOURCE = 'client'
local id, mode, event, data, project_id = unpack(ARGV, 1, 5)
local record = key('task', id)
local exists = call('EXISTS', record) == 1
if mode == 'create' and exists then return { 'existing' } end
if mode == 'update' and not exists then return { 'absent' } end
local changed = mode == 'create'
for i = 6, #ARGV, 2 do
  if not changed and call('HGET', record, ARGV[i]) ~= ARGV[i + 1] then changed = true end
end
if not changed then return { 'ok' } end
if mode == 'create' then
  call('ZADD', key('tasks'), ms(NOW), id)
  call('HSET', record, 'created_at_ms', ms(NOW), 'project_id', project_id)
else
  project_id = call('HGET', record, 'project_id')
end
call('HSET', record, 'updated_at_ms', ms(NOW), unpack(ARGV, 6))
append(0, event, project_id, id, '', '', data)
return { 'ok' }
