--[[ The prelude: what every script shares, in the parts that scripts.py names, after the rendered constants:
  MOVES, WATCHED, TASK_STATUS (from lifecycle.py), DELIVERY_MS, GRACE_MS, LEASE_MS, HEAD_START_MS,
  WAKE_MS, WAKE_PRIORITY, IDLE_BONUS, FREE_SLOT_WEIGHT, SUCCESS_WEIGHT, AFFINITY_BONUS, SUCCESS_SMOOTHING, TEST_CLOCK;
  WEIGHTS: the first two of those worths, as a decision notes them.

  An execution is loaded once into a table `x`, changed by `set` and `move`, and written by `save` once.
  Everything that may refuse comes before the first write. ]]

local PREFIX = KEYS[1]
local SOURCE = 'ledger'
local call = redis.call

-- key(family, id) -> the name of a key; families stand in keys.py
local function key(family, id)
  if id then return PREFIX .. family .. ':' .. id end
  return PREFIX .. family
end

-- NOW: the server's clock in Unix milliseconds; one reading a script
local TIME = call('TIME')
local NOW = TIME[1] * 1000 + math.floor(TIME[2] / 1000)
if TEST_CLOCK then NOW = NOW + (tonumber(call('GET', key('clock_offset'))) or 0) end

-- ms(number) -> an integer as decimal digits (Lua would print 1.7e+12)
local function ms(number) return string.format('%.0f', number) end

-- count_flow(class id, way): one more execution came 'in' to ask for an agent, or went 'out' to one, this minute
local function count_flow(class_id, way)
  local flow = key('flow', ms(math.floor(NOW / 60000) * 60000))
  if call('HINCRBY', flow, class_id .. ' ' .. way, 1) == 1 then call('EXPIRE', flow, 600) end
end

-- fresh_nonce(entropy) -> the next of a row of nonces that the caller's 128 random bits give
local nonces_drawn = 0
local function fresh_nonce(entropy)
  nonces_drawn = nonces_drawn + 1
  if nonces_drawn == 1 then return entropy end
  return string.sub(redis.sha1hex(entropy .. nonces_drawn), 1, 32)
end
