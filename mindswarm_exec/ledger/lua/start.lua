--[[ start.lua: store an execution and give it to an agent or let it wait.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id · 3 delay until (ms or "") · 4 pre-assigned agent or "" · 5 its class
        6 its demand · 7 data of the event
        8+ field, value pairs of the record (class_id, task_type, project_id, priority, …)
  REPLY {"ok", status, suitable agents:int, wakes} · {"existing", execution_id} · {"unknown_agent"}
        {"unknown_task"} · {"unknown_parent"} · {"parent_over", status}
  EMITS execution.created, and execution.queued if an agent was free
  TWICE the second call finds the execution_id and answers "existing" with it ]]
SOURCE = 'client'
local entropy, id, eligible, pinned, pinned_class, pinned_demand, data = unpack(ARGV, 1, 7)
local x = { id = id, changes = {}, fresh = {}, seq = 0 }
for i = 8, #ARGV, 2 do set(x, ARGV[i], ARGV[i + 1]) end

if call('EXISTS', key('execution', id)) == 1 then return { 'existing', id } end
local idempotency = x.idempotency_key and key('idempotency', x.project_id .. ' ' .. x.idempotency_key)
if idempotency then
  local earlier = call('GET', idempotency)
  if earlier then return { 'existing', earlier } end
end
if pinned ~= '' and call('EXISTS', key('agent', pinned)) == 0 then return { 'unknown_agent' } end
if x.task_id and call('EXISTS', key('task', x.task_id)) == 0 then return { 'unknown_task' } end

if x.parent_id then
  local status, intent = unpack(call('HMGET', key('execution', x.parent_id), 'status', 'intent_kind'))
  if not status then return { 'unknown_parent' } end
  if intent == 'cancel' or not WATCHED[status] then return { 'parent_over', status } end
  call('SADD', key('children', x.parent_id), id)
end

if idempotency then call('SET', idempotency, id) end
if pinned ~= '' then pin(x, pinned, pinned_class, pinned_demand) end
if x.task_id then call('HSET', key('task', x.task_id), 'execution_id', id) end
set(x, 'rank', ms(NOW - tonumber(x.priority) * HEAD_START_MS))
set(x, 'created_at_ms', ms(NOW))
if eligible ~= '' then set(x, 'eligible_at_ms', eligible) end
move(x, MOVES.create, data)
enter(x, entropy)
return { 'ok', x.status, call('SCARD', key('suitable', x.class_id)), WAKES }
