--[[ claim.lua: an agent takes up the attempt that a message named.
  KEYS  1 prefix
  ARGV  1 execution_id · 2 nonce · 3 claim token (random, one a message received) · 4 agent_id
  REPLY {"ok", attempt} · {"absent"} · {"fenced"} · {"taken"}
  EMITS execution.started, once
  TWICE the same token answers "ok" again; another token finds the attempt "taken" ]]
local id, nonce, token, agent_id = unpack(ARGV)
SOURCE = 'agent:' .. agent_id
local x = load(id)
if not x then return { 'absent' } end
if x.nonce ~= nonce or is_over(x) then return { 'fenced' } end
if not allows(MOVES.start, x) then
  if is_running(x) and x.claim_token == token then return { 'ok', attempt_of(x) } end
  return { is_running(x) and 'taken' or 'fenced' }
end
set(x, 'claim_token', token)
begin(x)
save(x)
return { 'ok', attempt_of(x) }
