-- budgets.lua: meters that an execution and its children spend, and their limits

local MOST_ANCESTORS = 32

local function amount_of(number) return string.format('%.15g', number) end

-- spent_budget(owner) -> a meter of the owner whose budget is spent, what is spent, its limit; or nil. A budget
-- whose owner has ended binds nobody
local function spent_budget(owner)
  if not owner or not WATCHED[owner.status] then return nil end
  for field, limit in pairs(owner) do
    local meter = string.match(field, '^budget:(.*)$')
    local spent = meter and owner['meter:' .. meter]
    if spent and tonumber(spent) >= tonumber(limit) then
      return meter, spent, limit
    end
  end
end

-- charge(owner, meter, amount) -> spent, limit or nil, whether it was spent before this
local function charge(owner, meter, amount)
  local before, limit = tonumber(owner['meter:' .. meter]) or 0, tonumber(owner['budget:' .. meter])
  local spent = before + amount
  set(owner, 'meter:' .. meter, amount_of(spent))
  if limit and before < 0.8 * limit and spent >= 0.8 * limit and WATCHED[owner.status] then
    emit(owner, 'execution.budget', cjson.encode({ meter = meter, spent = spent, limit = limit }), true)
  end
  return spent, limit, limit and before >= limit
end

-- exhaust(x, owner, meter, spent, limit): a running x is to pause because the owner's budget is spent
local function exhaust(x, owner, meter, spent, limit)
  if not is_running(x) then return end
  local is_new = not x.intent_kind
  local facts = { reason = 'budget', meter = meter, spent = spent, limit = limit, budget_of = owner.id }
  ask_to_pause(x, 'the budget of ' .. meter .. ' is spent', cjson.encode(facts))
  if is_new then
    set(x, 'pause_reason', 'budget')
    set(x, 'budget_owner', owner.id)
    if owner ~= x then call('ZADD', key('starved', owner.id), ms(NOW), x.id) end
  end
end
