-- Makes sure that what is here was written under this server's own identity and is whole, and empties the logged caches if
-- not. Changes nothing when it is, so it may be sent by several processes at once, and late.
--
-- KEYS 1 meta  2 log  3 registry of unlogged caches (members `u:<cache>`, and `` as long as none was lost)  4 locks
-- ARGV 1 incarnation to begin if need be  2 nonce of its first record  3 deadline (ms)  4 '1': begin it anyway, and
--      empty the unlogged caches too  5 incarnation whose log cannot be read, or ''  6 identity of the server, where scripts
--      may not ask for it  7 '1': the registry has all unlogged caches again
-- Answers {'OK', now, incarnation, keys to unlink}, {'LATE', now}, {'ROLE', now}, {'LOST', now} if the registry lost some, or
--      {'TYPE', now, key}. Keys that follow from the content of others are the sender's to unlink, after that: nobody reads the
--      logged ones any more, and what is emptied is not yet acknowledged.
local now = server_time(true)
if now > tonumber(ARGV[3]) then return {'LATE', now} end

-- The script asks for the identity itself: what its sender saw may be another server by now.
local cert, primary, server, replication = identify()
if is_blind() then cert, primary = ARGV[6], true end
if not primary then return {'ROLE', now} end

-- A key of another type was put there by another program, and is left to people. A script is not rolled back, so this comes first.
local base = string.sub(KEYS[1], 1, -2)
local types = {hash = {KEYS[1], KEYS[4]}, stream = {KEYS[2]}, set = {KEYS[3]}}
for wanted, keys in pairs(types) do
  for _, key in ipairs(keys) do
    local found = redis.call('TYPE', key).ok
    if found ~= wanted and found ~= 'none' then return {'TYPE', now, key} end
  end
end

local everything = ARGV[4] == '1'
local known = redis.call('HMGET', KEYS[1], 'inc', 'cert', 'born')
local inc = known[1] and #known[1] == 32 and string.find(known[1], '^[0-9a-f]+$') and known[1]
local listed = redis.call('SISMEMBER', KEYS[3], '') == 1
local own = inc and inc ~= ARGV[5] and known[2] == cert and listed and redis.call('XLEN', KEYS[2]) > 0
if own and not everything then return {'OK', now, inc, {}} end

local never = redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[3], KEYS[4]) == 0
if known[2] and not listed and ARGV[7] ~= '1' then return {'LOST', now} end
redis.call('UNLINK', KEYS[2])
-- The hashes' names follow from the meta key and the registry (in older versions, from that alone).
local unlink = {}
local function unlink_logged(name)
  if inc then
    unlink[#unlink + 1] = base .. inc .. ':' .. name
    unlink[#unlink + 1] = base .. inc .. 'x:' .. name
  end
end
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 2) == 'l:' then
    unlink_logged(string.sub(fields[i], 3))
    redis.call('HDEL', KEYS[1], fields[i])
  end
end
for _, member in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  local kind, name = string.sub(member, 1, 2), string.sub(member, 3)
  if kind == 'l:' then
    unlink_logged(name)
    redis.call('SREM', KEYS[3], member)
  elseif kind ~= 'u:' then
    redis.call('SREM', KEYS[3], member)
  elseif everything then
    -- It stays listed: if the sender does not come to unlink it, the next one must find it.
    unlink[#unlink + 1] = base .. 'u:' .. name
    unlink[#unlink + 1] = base .. 'ux:' .. name
  end
end
redis.call('SADD', KEYS[3], '')

-- Since when locks may have been held that are not here. A namespace of which nothing is here, on a server that never took over from
-- another, and never lost a key of its own accord or on command, was not lost while the server ran.
local born = now
if never and server then
  local run = tonumber(string.match(server, 'uptime_in_seconds:(%d+)'))
  local calls = redis.call('INFO', 'commandstats')
  -- A node of a cluster may have been given the slot without its keys.
  local lost = string.find(server, 'redis_mode:cluster', 1, true) or not string.find(replication, 'master_replid2:0+%s')
  for _, command in ipairs({'flushall', 'flushdb', 'swapdb', 'debug', 'restore', 'config|resetstat'}) do
    lost = lost or string.find(calls, 'cmdstat_' .. command .. ':', 1, true)
  end
  if not string.find(redis.call('INFO', 'stats'), 'evicted_keys:0%s') then
    lost = lost or not string.find(redis.call('INFO', 'memory'), 'maxmemory_policy:[nv]o')
  end
  if run and not lost then born = now - run * 1000 end
end
-- Locks stay: their holders are no older than before. If the server may have lost some, none is granted for a lease (R23).
local kept = known[2] == cert and redis.call('HSETNX', KEYS[4], '', '') == 0
redis.call('HSET', KEYS[4], '', '')
local id = padded(redis.call('XADD', KEYS[2], '*', 'n', ARGV[2], 'c', 0, 'v', ''))
redis.call('HSET', KEYS[1], 'inc', ARGV[1], 'cert', cert, 'born', kept and known[3] or born, 'h', ARGV[1] .. ARGV[2] .. id .. id)
return {'OK', now, ARGV[1], unlink}
