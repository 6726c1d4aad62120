--[[ settle.lua: end an attempt along one row of MOVES, free its slot and give the slot to who waits.
  KEYS  1 prefix
  ARGV  1 entropy · 2 source · 3 agent_id or "" · 4 attempt number · 5 execution_id · 6 nonce or ""
        7 row · 8 its target state · 9 its event · 10 its source states, separated by spaces
        11 slot: "claim" (free it; the next attempt runs here at once), "wake" (free it; the next is sent by
        message) or "keep" (the code still runs; the slot stays taken) · 12 outcome for the success rate: "1",
        "0" or "" · 13 counter to raise or "" · 14 delay (ms) before it may run again · 15 data of the event
        16, 17 guard of a sweep: a deadline's field and the value it was found due with; "", "" from an agent,
        whose attempt must not have been settled yet · 18+ field, value pairs to store
  REPLY {"ok", target state, next attempt or {}, wakes} · {"absent", wakes} · {"refused", status, wakes}
        {"fenced", wakes, how another ended this attempt: as for end_attempt, "" once there is a later one}
  EMITS the row's event, once; for the next attempt execution.queued and execution.started
        execution.paused or execution.cancelled if that was asked for and the row would let it wait again
        execution.resumed after a pause that nobody wants any more, and that waits for no answer
  TWICE the latest settlement is remembered with its nonce and successor: the same answer, no second effect.
  A sweep finds its guard gone and is refused.
  Unless a sweep sends it, the slot is freed even if it was settled before, when it is still held under this
  nonce: the code has ended. ]]
local entropy, source, agent_id, number, id, nonce, row_name, target, event, sources = unpack(ARGV, 1, 10)
local slot, outcome, counter, delay, data, guard_field, guard_value = unpack(ARGV, 11, 17)
SOURCE = source
local row = { name = row_name, target = target, event = event, sources = {} }
for source_state in string.gmatch(sources, '%S+') do row.sources[source_state] = true end
local attempt = id .. '.' .. number

-- hand_on(): the freed slot takes up what waits -> the next attempt if it is to run here, else {}
local function hand_on()
  local agent = load_agent(agent_id)
  if not agent then return {} end
  local x = slot == 'claim' and is_free(agent) and best_waiting(agent)
  if not x then
    fill(agent, entropy)
    return {}
  end
  leave_lane(x)
  reserve(x, agent, 'fed', entropy)
  begin(x)
  save(x)
  if agent.load < agent.max_concurrent then fill(agent, entropy) end
  return attempt_of(x)
end

local x = load(id)

-- end_zombie(): a stale attempt reports; its code has ended, so its slot is free
local function end_zombie()
  if agent_id ~= '' and slot ~= 'keep' and guard_field == '' and free_slot(agent_id, attempt, nonce) then
    if x and x.nonce == nonce and x.intent_kind then
      call('HSET', key('execution', id), 'intent_slot_released_at_ms', ms(NOW))
    end
    slot = 'wake'
    hand_on()
  end
end

if not x then
  end_zombie()
  return { 'absent', WAKES }
end
if x.settled and guard_field == '' then
  local settled, name, next_id, next_number = string.match(x.settled, '^(%S+) (%S+) ?(%S*) ?(%S*)$')
  if settled == nonce and name == row_name then
    end_zombie()
    local following = next_id ~= '' and load(next_id)
    local again = following and attempt_of(following) or {}
    return { 'ok', target, again[3] == next_number and again or {}, WAKES }
  end
end
if (x.nonce or '') ~= nonce or (guard_field == '' and is_over(x)) then
  end_zombie()
  local ended_by = x.nonce == nonce and is_over(x) and string.match(x.settled, '^%S+ (%S+)')
  return { 'fenced', WAKES, ended_by or '' }
end
if guard_field ~= '' and (x[guard_field] or '') ~= guard_value then return { 'refused', x.status, {} } end
if not allows(row, x) then return { 'refused', x.status, {} } end -- it lives, so its slot is its own

-- obey(): x was to wait or to pause, but a pause or cancel was asked for while it ran: that is done now
local function obey()
  local wish = x.intent_kind == 'cancel' and MOVES.cancel or MOVES.pause
  if wish == MOVES.cancel then
    unset(x, 'question')
    unset(x, 'question_id')
    set(x, 'error', x.intent_error)
    set(x, 'finished_at_ms', ms(NOW))
    call('PUBLISH', key('ended', id), wish.target)
  end
  move(x, wish, '{"after":"' .. row_name .. '"}')
  save(x)
end

local rate_changed = false
if outcome ~= '' and agent_id ~= '' then
  local rate = success_rate(agent_id, x.task_type)
  local smoothed = rate + SUCCESS_SMOOTHING * (tonumber(outcome) - rate)
  if smoothed ~= rate then
    call('HSET', key('success', agent_id), x.task_type, string.format('%.6g', smoothed))
    rate_changed = true
  end
end
for i = 18, #ARGV, 2 do set(x, ARGV[i], ARGV[i + 1]) end
if counter ~= '' then set(x, counter, (tonumber(x[counter]) or 0) + 1) end
leave(x)
clear_clocks(x)
unset(x, 'claim_token')
unset(x, 'frozen')
local freed = slot ~= 'keep' and agent_id ~= '' and not is_over(x) and free_slot(agent_id, attempt, nonce)
-- a wish is obeyed by the row it asks for, or here and now if x has not ended; an attempt that ends in another way
-- got ahead of it
local wished = x.intent_kind == 'cancel' and MOVES.cancel.target or MOVES.pause.target
local ended = not WATCHED[row.target]
if x.intent_kind and (row.target == wished or not ended) then
  acknowledge(x)
  if slot == 'keep' then set(x, 'intent_unresponsive', '1') end
elseif x.intent_kind then
  note_release(x)
end
if x.nonce then end_attempt(x, row_name) end
move(x, row, data)
if ended then set(x, 'finished_at_ms', ms(NOW)) end
save(x)
return_permit(x, entropy)
if row.target == MOVES.create.target and tonumber(delay) > 0 then set(x, 'eligible_at_ms', ms(NOW + delay)) end
if not ended and x.intent_kind and row.target ~= wished then
  obey()
elseif row_name == MOVES.pause.name and not x.intent_kind and not x.question then
  x.paused_on = agent_id
  move(x, MOVES.resume, '{"withdrawn":true}') -- the pause was withdrawn as the handler stopped for it
  enter(x, entropy)
elseif row.target == MOVES.create.target then
  enter(x, entropy)
end
local following = freed and hand_on() or {}
if rate_changed and not freed then fill(load_agent(agent_id), entropy) end
if following[1] then
  call('HSET', key('execution', id), 'settled', table.concat({ nonce, row_name, following[1], following[3] }, ' '))
end
if ended then
  -- a result that is small goes with the notice, so that a waiter needs no further call
  local result = x.result and #x.result <= 4096 and ' ' .. x.result or ''
  call('PUBLISH', key('ended', id), x.status .. result)
end
return { 'ok', target, following, WAKES }
