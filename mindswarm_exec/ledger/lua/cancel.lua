--[[ cancel.lua: cancel what does not run; ask what runs to stop, or with force fence it at once.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id · 3 request id · 4 reason · 5 "1" to force · 6 error as JSON
        7 data of the event
  REPLY {"ok", status, wakes, children still to be cancelled:int} · {"absent"} · {"refused", status}
  EMITS execution.cancelled, or execution.cancel_requested for a running attempt without force, if that was not
        asked for before; execution.queued for whoever takes up a slot or permit that this frees
  TWICE the latest request ids are remembered: the same answer, no second effect
  A forced attempt keeps its slot until its code ends and its agent reports (settle answers "fenced"). The children
  are named for `cancel_children`, which the caller runs, or a sweep. ]]
SOURCE = 'client'
local entropy, id, request, reason, force, failure, data = unpack(ARGV)
local x = load(id)
if not x then return { 'absent' } end
if not is_repeated(x, request) then
  if not allows(MOVES.cancel, x) then return { 'refused', x.status } end
  note_request(x, request)
  cancel_one(x, entropy, reason, force == '1', failure, data)
end
return { 'ok', x.status, WAKES, call('ZCARD', key('cascade', id)) }
