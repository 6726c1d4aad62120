-- cancelling.lua: one way to cancel an execution, and its children with it

-- cascade(x): the children of x are to be cancelled too, the oldest first; a sweep does what the caller does not
local function cascade(x)
  if call('ZUNIONSTORE', key('cascade', x.id), 1, key('children', x.id)) > 0 then
    call('ZADD', key('deadlines'), ms(NOW), 'cascade:' .. x.id)
  end
end

-- cancel_one(x, entropy, reason, is_forced, failure, data): x, whose state allows it, is cancelled; code that runs
-- is told to end, and without force has its grace for that. Saves x
local function cancel_one(x, entropy, reason, is_forced, failure, data)
  local runs, freed = is_running(x) or x.frozen, nil
  if runs then
    local verb = is_forced and 'kill ' or 'cancel '
    call('PUBLISH', key('control', x.agent_id), verb .. x.id .. '.' .. x.attempt)
    if not is_forced and x.intent_kind == 'cancel' then return save(x) end
  end
  intend(x, 'cancel', reason)
  cascade(x)
  if runs and not is_forced then
    set(x, 'intent_error', failure)
    set(x, 'cancel_grace_at_ms', ms(NOW + CANCEL_GRACE_MS + GRACE_MS))
    emit(x, 'execution.cancel_requested', data, true)
    return save(x)
  end
  if runs then
    clear_clocks(x)
    end_attempt(x, 'forced')
    unset(x, 'frozen')
    return_permit(x, entropy)
  else
    freed = withdraw(x, entropy)
    acknowledge(x)
  end
  unset(x, 'question')
  unset(x, 'question_id')
  set(x, 'error', failure)
  set(x, 'finished_at_ms', ms(NOW))
  move(x, MOVES.cancel, data)
  save(x)
  call('PUBLISH', key('ended', x.id), x.status)
  if freed then fill(load_agent(freed), entropy) end
end
