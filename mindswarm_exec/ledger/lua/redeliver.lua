--[[ redeliver.lua: an attempt was not claimed in time: send its message again.
  KEYS  1 prefix
  ARGV  1 execution_id · 2 nonce
  REPLY {"ok", status, wakes} · {"absent"} · {"refused", status}
  EMITS nothing: the attempt is the same
  TWICE the second call finds the deadline moved and is refused; a second message would be harmless ]]
local x = load(ARGV[1])
if not x then return { 'absent' } end
if not is_queued(x) or x.nonce ~= ARGV[2] or tonumber(x.delivery_at_ms) > NOW then return { 'refused', x.status } end
set(x, 'deliveries', (tonumber(x.deliveries) or 0) + 1)
set(x, 'delivery_at_ms', ms(NOW + DELIVERY_MS))
wake(load_agent(x.agent_id), x)
save(x)
return { 'ok', x.status, WAKES }
