-- Makes sure that what is here was written under this server's own identity, and empties the logged caches if not.
-- Changes nothing when it was, so it may be sent by several processes at once, and late.
--
-- KEYS 1 meta  2 log  3 registry of caches (members `l:<cache>` and `u:<cache>`)
-- ARGV 1 incarnation to begin if need be  2 nonce of its first record  3 deadline (ms)  4 '1': begin it anyway, and
--      empty the unlogged caches too
-- Answers {'OK', now, incarnation}, {'LATE', now} or {'ROLE', now}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[3]) then return {'LATE', now} end

-- The script asks for the identity itself: what its sender saw may be another server by now.
local server, replication = redis.call('INFO', 'server'), redis.call('INFO', 'replication')
if not string.find(replication, 'role:master', 1, true) then return {'ROLE', now} end
local cert = string.match(server, 'run_id:(%w+)') .. '/' .. string.match(replication, 'master_replid:(%w+)')

local everything = ARGV[4] == '1'
local known = redis.call('HMGET', KEYS[1], 'inc', 'cert', 'born')
local own = known[1] and known[2] == cert and redis.call('EXISTS', KEYS[2]) == 1
if own and not everything then return {'OK', now, known[1]} end

-- The hashes' names follow from the registry. They carry the hash tag of KEYS, so they are on this node.
redis.call('UNLINK', KEYS[2])
local base = string.sub(KEYS[1], 1, -2)
for _, member in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  local name = string.sub(member, 3)
  if string.sub(member, 1, 1) == 'u' then
    if everything then
      redis.call('UNLINK', base .. 'u:' .. name, base .. 'ux:' .. name)
      redis.call('SREM', KEYS[3], member)
    end
  else
    if known[1] then redis.call('UNLINK', base .. known[1] .. ':' .. name, base .. known[1] .. 'x:' .. name) end
    redis.call('SREM', KEYS[3], member)
  end
end
-- Locks stay: their holders are no older than before. If the server may have lost some, none is granted for a lease (R23).
redis.call('HSET', base .. 'k', '', '')
redis.call('HSET', KEYS[1], 'inc', ARGV[1], 'cert', cert, 'born', own and known[3] or now)
redis.call('XADD', KEYS[2], '*', 'n', ARGV[2], 'c', 0, 'v', '')
return {'OK', now, ARGV[1]}
