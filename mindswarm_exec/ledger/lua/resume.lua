--[[ resume.lua: let a paused execution go on, or withdraw a pause not yet obeyed.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id · 3 request id · 4 data of the event · 5 "1" if the checkpoint is replaced
        6+ field, value pairs to store
  REPLY {"ok", status, wakes} · {"absent"} · {"refused", status} · {"awaits_input"}
        {"not_obeyed"}: the checkpoint was to be replaced, and the handler that is to pause runs still
        {"budget_spent", execution_id of the budget's owner, meter, spent, limit}
  EMITS execution.resumed (and execution.queued if an agent was free), with {"in_place": true} for a frozen process
        that goes on where it stopped; for a withdrawn pause
        execution.pause_requested with {"withdrawn": true}
  TWICE the latest request ids are remembered: the same answer, no second effect
  A frozen process goes on in place; if its checkpoint is replaced, it is ended and another attempt begins. ]]
SOURCE = 'client'
local entropy, id, request, data, replaced = unpack(ARGV, 1, 5)
local x = load(id)
if not x then return { 'absent' } end
if is_repeated(x, request) then return { 'ok', x.status, {} } end
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
withdraw_intent(x)
if is_withdrawal then
  emit(x, 'execution.pause_requested', '{"withdrawn":true}', true)
  call('PUBLISH', key('control', x.agent_id), 'withdraw ' .. x.id .. '.' .. x.attempt)
  save(x)
elseif x.frozen and replaced ~= '1' then
  unset(x, 'frozen')
  start_clocks(x)
  move(x, MOVES.thaw, '{"in_place":true' .. (data == '{}' and '}' or ',' .. string.sub(data, 2)))
  save(x)
  call('PUBLISH', key('control', x.agent_id), 'withdraw ' .. x.id .. '.' .. x.attempt)
else
  if x.frozen then
    unset(x, 'frozen')
    clear_clocks(x)
    end_attempt(x, 'replaced')
    return_permit(x, entropy)
    call('PUBLISH', key('control', x.agent_id), 'lost ' .. x.id .. '.' .. x.attempt)
  end
  x.paused_on = x.agent_id
  move(x, MOVES.resume, data)
  enter(x, entropy)
end
return { 'ok', x.status, WAKES }
