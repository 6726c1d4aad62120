--[[ cancel_children.lua: cancel some of the children of an execution that was cancelled.
  KEYS  1 prefix
  ARGV  1 entropy · 2 execution_id of the parent · 3 most children · 4 error as JSON · 5 data of the event
  REPLY {"ok", children left to be cancelled:int, wakes}
  EMITS for each child what cancel emits: execution.cancelled or execution.cancel_requested, execution.queued for
        whoever takes up a slot or permit that this frees
  TWICE the second call goes on with the children that the first left ]]
local entropy, id, most, failure, data = unpack(ARGV)
local waiting = key('cascade', id)
local children = call('ZPOPMIN', waiting, most)
for i = 1, #children, 2 do
  local child_id = children[i]
  local x = load(child_id)
  if x and allows(MOVES.cancel, x) then
    cancel_one(x, string.sub(redis.sha1hex(entropy .. child_id), 1, 32), 'its parent was cancelled', false, failure, data)
  end
end
local left = call('ZCARD', waiting)
if left == 0 then call('ZREM', key('deadlines'), 'cascade:' .. id) end
return { 'ok', left, WAKES }
