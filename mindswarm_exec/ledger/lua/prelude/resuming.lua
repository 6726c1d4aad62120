-- resuming.lua: one way to let what is paused go on, and those that a spent budget held up with it

-- go_on(x, entropy, data, is_replaced): x goes on: in place if it is frozen and its checkpoint is not replaced, else by
-- another attempt. A pause that was not obeyed yet is withdrawn. Saves x
local function go_on(x, entropy, data, is_replaced)
  withdraw_intent(x)
  if is_running(x) then
    emit(x, 'execution.pause_requested', '{"withdrawn":true}', true)
    call('PUBLISH', key('control', x.agent_id), 'withdraw ' .. x.id .. '.' .. x.attempt)
    return save(x)
  end
  if x.frozen and not is_replaced then
    unset(x, 'frozen')
    start_clocks(x)
    move(x, MOVES.thaw, '{"in_place":true' .. (data == '{}' and '}' or ',' .. string.sub(data, 2)))
    call('PUBLISH', key('control', x.agent_id), 'withdraw ' .. x.id .. '.' .. x.attempt)
    return save(x)
  end
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

-- relieve(owner) -> how many executions were held up by a budget of the owner's, if none of its budgets is spent any
-- more: they are to go on; a sweep does what the caller does not
local function relieve(owner)
  local count = call('ZCARD', key('starved', owner.id))
  if count == 0 or spent_budget(owner) then return 0 end
  call('ZADD', key('deadlines'), ms(NOW), 'relief:' .. owner.id)
  return count
end

-- starves(x, owner_id) -> does it stand still, or is it asked to, because that owner's budget is spent?
local function starves(x, owner_id)
  return x.pause_reason == 'budget' and x.budget_owner == owner_id and x.intent_kind == 'pause'
    and (is_running(x) or allows(MOVES.resume, x))
end
