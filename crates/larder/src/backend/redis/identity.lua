-- Who the server is. Stands before other scripts.
--
-- KEYS 1 meta; and the last one is `t` where scripts may ask for neither time nor identity. Then a stream of one record tells the
-- time, which never goes back, and the sender asks who the server is after the script, in the same round trip.
local function is_blind()
  return KEYS[#KEYS] == string.sub(KEYS[1], 1, -2) .. 't'
end

-- The identity as in `cert`, whether it is a primary's, and what the server says of itself; nothing where it may not be asked.
local function identify()
  if is_blind() then return nil end
  local server, replication = redis.call('INFO', 'server'), redis.call('INFO', 'replication')
  local cert = string.match(server, 'run_id:(%w+)') .. '/' .. string.match(replication, 'master_replid:(%w+)')
  return cert, string.find(replication, 'role:master', 1, true) ~= nil, server, replication
end
