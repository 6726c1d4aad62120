--[[ renew.lua: an agent's heartbeat. Extends its lease; tells it what the ledger holds it to,
  and its state: a wish to sleep, to wake or to drain whose message was lost. To one that was passed over because it
  did not open in time, that is still waking: it is to open, late as it is.
  KEYS  1 prefix
  ARGV  1 agent_id · 2 incarnation
  REPLY {"ok", ms since the latest sweep:int, state, {attempt id, nonce, status, intent or "", …}}
        {"fenced"}: a newer process has the name · {"expired"}: the lease ran out; register again
  EMITS nothing
  TWICE harmless ]]
local agent_id, incarnation = unpack(ARGV)
local record = key('agent', agent_id)
local known, state, passed_over = unpack(call('HMGET', record, 'incarnation', 'state', 'passed_over'))
if not known or known == '' then return { 'expired' } end
if known ~= incarnation then return { 'fenced' } end
call('HSET', record, 'lease_expires_at_ms', ms(NOW + LEASE_MS))
call('ZADD', key('deadlines'), ms(NOW + LEASE_MS), 'agent:' .. agent_id)
local held, news = call('HGETALL', key('held', agent_id)), {}
for i = 1, #held, 2 do
  local status, nonce, intent =
    unpack(call('HMGET', key('execution', string.match(held[i], '^[^.]+')), 'status', 'nonce', 'intent_kind'))
  for _, value in ipairs({ held[i], held[i + 1], nonce == held[i + 1] and status or '', intent or '' }) do
    news[#news + 1] = value
  end
end
if state == 'sleeping' and passed_over == 'late' then state = 'waking' end
return { 'ok', NOW - (tonumber(call('GET', key('swept_at'))) or 0), state, news }
