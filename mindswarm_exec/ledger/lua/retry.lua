--[[ retry.lua: bring an ended execution back.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id · 3 request id · 4 data of the event · 5 pre-assigned agent or "" · 6 its class
        7 its demand · 8+ field, value pairs to store; an empty value removes the field
  REPLY {"ok", status, wakes} · {"absent"} · {"refused", status} · {"unknown_agent"}
  EMITS execution.retry_scheduled, and execution.queued if an agent was free
  TWICE the latest request ids are remembered: the same answer, no second effect ]]
SOURCE = 'client'
local entropy, id, request, data, pinned, pinned_class, pinned_demand = unpack(ARGV, 1, 7)
local x = load(id)
if not x then return { 'absent' } end
if is_repeated(x, request) then return { 'ok', x.status, {} } end
if not allows(MOVES.retry, x) then return { 'refused', x.status } end
if pinned ~= '' and call('EXISTS', key('agent', pinned)) == 0 then return { 'unknown_agent' } end
note_request(x, request)
withdraw_intent(x)
for i = 8, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    x[ARGV[i]] = nil
    x.changes[ARGV[i]] = false
  else
    set(x, ARGV[i], ARGV[i + 1])
  end
end
if pinned ~= '' then pin(x, pinned, pinned_class, pinned_demand) end
set(x, 'retried_at_ms', ms(NOW))
for _, field in ipairs({ 'result', 'error', 'finished_at_ms', 'failed_attempts', 'lost_attempts',
  'started_at_ms', 'question', 'question_id' }) do
  x[field] = nil
  x.changes[field] = false
end
set(x, 'rank', ms(NOW - tonumber(x.priority) * HEAD_START_MS))
move(x, MOVES.retry, data)
enter(x, entropy)
return { 'ok', x.status, WAKES }
