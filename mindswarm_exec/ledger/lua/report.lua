--[[ report.lua: news of a running attempt: progress, output or a checkpoint. It is also a sign of life. A frozen one
  may have had news on the way when it stopped.
  KEYS  1 prefix
  ARGV  1 execution_id · 2 nonce · 3 report token (random) · 4 event · 5 data of the event · 6 agent_id
        7+ field, value pairs to store; an empty value removes the field
  REPLY {"ok", intent or ""} · {"absent"} · {"fenced"}
  EMITS the event, once
  TWICE the token of the latest report is remembered: the same answer, no second event ]]
local id, nonce, token, event, data, agent_id = unpack(ARGV, 1, 6)
SOURCE = 'agent:' .. agent_id
local x = load(id)
if not x then return { 'absent' } end
if x.nonce ~= nonce or not (is_running(x) or x.frozen) then return { 'fenced' } end
if x.report_token == token then return { 'ok', x.intent_kind or '' } end
set(x, 'report_token', token)
for i = 7, #ARGV, 2 do
  if ARGV[i + 1] == '' then unset(x, ARGV[i]) else set(x, ARGV[i], ARGV[i + 1]) end
end
if x.stall_timeout_ms and is_running(x) then set(x, 'stall_at_ms', ms(NOW + x.stall_timeout_ms + GRACE_MS)) end
emit(x, event, data)
save(x)
return { 'ok', x.intent_kind or '' }
