--[[ provide_input.lua: answer the question that an execution is parked on; it goes on where it was, if it can.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id · 3 request id · 4 question_id · 5 answer as JSON · 6 data of the event
  REPLY {"ok", status, wakes} · {"absent"} · {"refused", status}: it waits for no input
        {"answered"}: that question has its answer · {"another_question", question_id}
  EMITS execution.resumed (and execution.queued if an agent was free)
  TWICE the latest request ids are remembered: the same answer, no second effect ]]
SOURCE = 'client'
local entropy, id, request, question_id, answer, data = unpack(ARGV)
local x = load(id)
if not x then return { 'absent' } end
if is_repeated(x, request) then return { 'ok', x.status, {} } end
if not x.question or x.question_id ~= question_id then
  if x['answer:' .. question_id] then return { 'answered' } end
  if not x.question then return { 'refused', x.status } end
  return { 'another_question', x.question_id }
end
note_request(x, request)
set(x, 'answer:' .. question_id, answer)
unset(x, 'question')
unset(x, 'question_id')
go_on(x, entropy, data, false)
return { 'ok', x.status, WAKES }
