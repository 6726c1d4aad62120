--[[ meter.lua: a running attempt has spent some of a budget; it counts for the execution and its ancestors.
  A frozen one may have had it on the way when it stopped.
  KEYS  1 prefix
  ARGV  1 execution_id · 2 nonce · 3 report token (random) · 4 meter · 5 amount · 6 agent_id
  REPLY {"ok", intent or "", spent} · {"absent"} · {"fenced"}
        {"exhausted", spent, limit}: the budget was spent before this call, and it is to stop here
  EMITS execution.budget when 80 % of a budget are spent; execution.pause_requested when all of it is
  TWICE the token of the latest report is remembered with its answer: nothing is counted again
  A budget whose owner has ended binds nobody. ]]
local id, nonce, token, meter, amount, agent_id = unpack(ARGV)
SOURCE = 'agent:' .. agent_id
local x = load(id)
if not x then return { 'absent' } end
if x.nonce ~= nonce or not (is_running(x) or x.frozen) then return { 'fenced' } end
local earlier, earlier_spent, earlier_limit = string.match(x.report_token or '', '^(%S*) ?(%S*) ?(%S*)$')
if earlier == token and earlier_limit ~= '' then return { 'exhausted', earlier_spent, earlier_limit } end
if earlier == token then return { 'ok', x.intent_kind or '', x['meter:' .. meter] or '0' } end
if x.stall_timeout_ms and is_running(x) then set(x, 'stall_at_ms', ms(NOW + x.stall_timeout_ms + GRACE_MS)) end
local exhausted
local owner, generation = x, 0
while owner and generation < MOST_ANCESTORS do
  local spent, limit, was_spent = charge(owner, meter, tonumber(amount))
  if limit and spent >= limit and WATCHED[owner.status] then
    exhaust(owner, owner, meter, spent, limit)
    if owner ~= x then exhaust(x, owner, meter, spent, limit) end
    if was_spent then exhausted = { amount_of(spent), amount_of(limit) } end
  end
  if owner ~= x then save(owner) end
  owner = owner.parent_id and load(owner.parent_id)
  generation = generation + 1
end
set(x, 'report_token', exhausted and table.concat({ token, exhausted[1], exhausted[2] }, ' ') or token)
save(x)
if exhausted then return { 'exhausted', exhausted[1], exhausted[2] } end
return { 'ok', x.intent_kind or '', x['meter:' .. meter] }
