--[[ resume.lua: let a paused execution go on, or withdraw a pause not yet obeyed.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id · 3 request id · 4 data of the event · 5 "1" if the checkpoint is replaced
        6+ field, value pairs to store
  REPLY {"ok", status, wakes, others that its budget held up:int} · {"absent"} · {"refused", status} · {"awaits_input"}
        {"not_obeyed"}: the checkpoint was to be replaced, and the handler that is to pause runs still
        {"budget_spent", execution_id of the budget's owner, meter, spent, limit}
  EMITS execution.resumed (and execution.queued if an agent was free), with {"in_place": true} for a frozen process
        that goes on where it stopped; for a withdrawn pause
        execution.pause_requested with {"withdrawn": true}
  TWICE the latest request ids are remembered: the same answer, no second effect
  A frozen process goes on in place; if its checkpoint is replaced, it is ended and another attempt begins. What its
  budget held up, until now, is left to `resume_starved`, which the caller runs, or a sweep. ]]
SOURCE = 'client'
local entropy, id, request, data, replaced = unpack(ARGV, 1, 5)
local x = load(id)
if not x then return { 'absent' } end
if is_repeated(x, request) then return { 'ok', x.status, {}, relieve(x) } end
local is_withdrawal = is_running(x) and x.intent_kind == 'pause'
if not is_withdrawal and not allows(MOVES.resume, x) then return { 'refused', x.status } end
if is_withdrawal and replaced == '1' then return { 'not_obeyed' } end -- it would go on without seeing it
if x.question then return { 'awaits_input' } end
if x.intent_kind == 'cancel' then return { 'refused', x.status } end -- its process is ending
for i = 6, #ARGV, 2 do set(x, ARGV[i], ARGV[i + 1]) end
if x.pause_reason == 'budget' then
  local meter, spent, limit = spent_budget(x.budget_owner == id and x or load(x.budget_owner))
  if meter then return { 'budget_spent', x.budget_owner, meter, spent, limit } end
end
note_request(x, request)
go_on(x, entropy, data, replaced == '1')
return { 'ok', x.status, WAKES, relieve(x) }
