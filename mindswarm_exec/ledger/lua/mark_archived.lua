--[[ mark_archived.lua: these executions have been copied into the archive as they were at a certain event.
  KEYS  1 prefix
  ARGV  1+ execution_id, seq pairs: the seq that the copied record had
  REPLY {"ok", executions marked:int}
  EMITS nothing
  TWICE harmless
  One that has been brought back since has another seq, and is not marked: it is to be copied again. ]]
local marked = 0
for i = 1, #ARGV, 2 do
  local record = key('execution', ARGV[i])
  if call('HGET', record, 'seq') == ARGV[i + 1] then
    call('HSET', record, 'archived', ARGV[i + 1])
    marked = marked + 1
  end
end
return { 'ok', marked }
