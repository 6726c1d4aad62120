-- events.lua: what happened, appended to the stream and published

-- append(seq, type, project, task, execution, agent, data) -> event id; stream first, then whoever listens, and counted
local function append(seq, event_type, project_id, task_id, execution_id, agent_id, data)
  local events = key('events')
  local id = call('XADD', events, '*', 'seq', seq, 'type', event_type, 'project_id', project_id,
    'task_id', task_id, 'execution_id', execution_id, 'agent_id', agent_id, 'source', SOURCE, 'data', data)
  call('PUBLISH', events, cjson.encode({ id, seq, event_type, project_id, task_id, execution_id, agent_id,
    SOURCE, data }))
  call('HINCRBY', key('event_counts'), event_type, 1)
  return id
end

-- stream_counts() -> events ever appended, events trimmed away
local function stream_counts()
  if call('EXISTS', key('events')) == 0 then return 0, 0 end
  local info, facts = call('XINFO', 'STREAM', key('events')), {}
  for i = 1, #info, 2 do facts[info[i]] = info[i + 1] end
  return facts['entries-added'], facts['entries-added'] - facts.length
end

local function append_for_agent(event_type, agent_id, data)
  append(0, event_type, '', '', '', agent_id, data or '{}')
end
