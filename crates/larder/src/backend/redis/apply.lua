-- Makes a batch of changes and logs them as one record, or refuses before it touches anything.
--
-- KEYS 1 meta  2 log  3 registry of unlogged caches, then for each cache: 4, 6, … its hash  5, 7, … its expiry index
-- ARGV 1 incarnation  2 deadline (ms)  3 not before (ms)  4 nonce  5 most changes listed  6 '1': fields expire natively
--      7 longest log  8 most bytes in a log  9 most bytes in a record  10 seconds that an unused logged cache is kept
--      then the operations:  s <hash's index in KEYS> <field> <value> <expires ms or ''> <guard id or ''> <guard nonce>
--                              <bytes of a fill's value or ''> <token of the lock's holder or ''> <fence>
--                            d <hash's index in KEYS> <field>
--                            p <hash's index in KEYS>
-- Answers {'OK', now, id of the record or '', outcomes}, {'INC' | 'LATE' | 'WAIT' | 'LOCK', now}, {'TYPE', now, key}, or
--      {'LOG', now} if the log takes no record, or is not the one that was written here.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'inc', 'h')
if known[1] ~= ARGV[1] then return {'INC', now} end
if now > tonumber(ARGV[2]) then return {'LATE', now} end
if now < tonumber(ARGV[3]) then return {'WAIT', now} end
if not find_end(known[2], ARGV[1]) then return {'LOG', now} end

local max, native = tonumber(ARGV[5]), ARGV[6] == '1'
local base = string.sub(KEYS[1], 1, -2)
local logged = base .. ARGV[1] .. ':'

-- A script is not rolled back, so whatever could fail half way is looked at first.
local caches = {}
for k = 4, #KEYS, 2 do
  local hash, index = redis.call('TYPE', KEYS[k]).ok, redis.call('TYPE', KEYS[k + 1]).ok
  if hash ~= 'none' and hash ~= 'hash' then return {'TYPE', now, KEYS[k]} end
  if index ~= 'none' and index ~= 'zset' then return {'TYPE', now, KEYS[k + 1]} end
  local cache = {hash = KEYS[k], index = KEYS[k + 1], indexed = index == 'zset'}
  if string.sub(KEYS[k], 1, #logged) == logged then cache.name = string.sub(KEYS[k], #logged + 1) end
  caches[k] = cache
end

-- The names changed since a position, each with the place of its last change, and which of these stored an entry (in records
-- of older versions nobody can tell), or false when the log does not reach back to it.
local function names_since(id, nonce)
  if newest[1] == id and newest[2][2] == nonce then return {names = {}} end
  -- From the end, as most guards stand near it.
  local records = redis.call('XREVRANGE', KEYS[2], '+', id, 'COUNT', max + 2)
  local names, stored, count, place = {}, {}, 0, 0
  local first = records[#records]
  if not first or first[1] ~= id or first[2][2] ~= nonce then names = false end
  for i = #records - 1, 1, -1 do
    local fields = records[i][2]
    count = count + tonumber(fields[4])
    if count > max then names = false end
    if not names then break end
    local at, packed, kinds, n = 1, fields[6], fields[8] or '', 0
    while at <= #packed do
      local name
      name, at = struct.unpack('>I4c0', packed, at)
      n, place = n + 1, place + 1
      names[name], stored[name] = place, string.sub(kinds, n, n) == 's'
    end
  end
  return {names = names, stored = stored}
end

local histories = {}
local function history(id, nonce)
  local known = histories[id .. nonce]
  if known == nil then
    -- It stumbles over records that were not written here.
    local read, names = pcall(names_since, id, nonce)
    known = read and names or {names = false}
    known.id, known.nonce = id, nonce
    histories[id .. nonce] = known
  end
  return known
end

-- What becomes of a guarded set: nil = it is stored, 'x' = dropped, 'c' = it lost against a set of another value, and the key
-- is deleted (R6). `value` says how many bytes at the end of the entry are compared, '' = it is no fill.
local function lost(op, name, known, value)
  local names = known.names
  local key, purge = names and names[name], names and names[op.cache.name]
  if names and not key and not purge then return nil end
  if not names and is_unchanged(op.cache.name, known.id, known.nonce) then return nil end
  if value == '' then return 'x' end
  local standing = redis.call('HGET', op.cache.hash, op.field)
  if standing then
    local from = #op.value - value + 1
    local same = #standing == #op.value and string.sub(standing, from) == string.sub(op.value, from)
    return same and 'x' or 'c'
  end
  -- Stored and evicted: others may still have it in memory.
  return key and known.stored[name] and key > (purge or 0) and 'c' or 'x'
end

-- Whether the lock on a key is still the one of a proof, and was not found in an old copy of the server's data (R24).
local born
local function holds(cache, field, token, fence)
  born = born or tonumber(redis.call('HGET', KEYS[1], 'born') or '')
  if not born then return false end
  local kind = cache.name and 'l' or 'u'
  local name = kind .. (cache.name or string.sub(cache.hash, #base + 3)) .. '\0' .. field
  local row = redis.call('HGET', base .. 'k', name)
  if not row then return false end
  local holder, number, _, since = string.match(row, '^(%x+) (%d+) (%d+) (%d+) ')
  return holder == token and number == fence and tonumber(since) >= born
end

local ops, record, kinds, changed, sets, i = {}, {}, {}, {}, false, 11
while i <= #ARGV do
  local kind, cache = ARGV[i], caches[tonumber(ARGV[i + 1])]
  local op = {kind = kind, cache = cache}
  local name = cache.name
  if kind == 'p' then
    i = i + 2
  else
    op.field = ARGV[i + 2]
    if name then name = name .. '\0' .. op.field end
    if kind == 'd' then
      i = i + 3
    else
      op.value, op.expires = ARGV[i + 3], ARGV[i + 4]
      if name and ARGV[i + 5] ~= '' then
        local fate = lost(op, name, history(ARGV[i + 5], ARGV[i + 6]), ARGV[i + 7])
        op.dropped, op.cleared = fate == 'x', fate == 'c'
      end
      if ARGV[i + 8] ~= '' and not holds(cache, op.field, ARGV[i + 8], ARGV[i + 9]) then return {'LOCK', now} end
      sets = sets or not (op.dropped or op.cleared)
      i = i + 10
    end
  end
  if name and not op.dropped then
    record[#record + 1] = struct.pack('>I4', #name) .. name
    kinds[#kinds + 1] = op.cleared and 'd' or kind
    if not cache.changed then
      cache.changed = true
      changed[#changed + 1] = cache.name
    end
  end
  ops[#ops + 1] = op
end

-- A server out of memory refuses the first write of a script if that write may take memory, and no later one. Deletes
-- must go through, so they start with one that takes none.
if not sets then redis.call('PERSIST', KEYS[1]) end

for _, op in ipairs(ops) do
  if op.kind == 's' and not op.dropped then op.cache.stored = true end
end
for _, cache in pairs(caches) do
  if cache.stored and not cache.name then redis.call('SADD', KEYS[3], string.sub(cache.hash, #base + 1)) end
end

local id = ''
if #record > 0 then
  -- Whoever reads more than `max` changes starts anew anyway, so the names of such a record would be wasted.
  local count, packed, letters = #record, '', ''
  if count <= max then packed, letters = table.concat(record), table.concat(kinds) end
  if #packed > tonumber(ARGV[9]) then count, packed, letters = max + 1, '', '' end
  local length = math.min(tonumber(ARGV[7]), math.max(1, math.floor(tonumber(ARGV[8]) / (#packed + 100))))
  id = redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', length, '*', 'n', ARGV[4], 'c', count, 'v', packed,
    't', letters)
  if type(id) == 'table' then
    if string.find(id.err, 'exhausted') or string.find(id.err, 'equal or smaller') then return {'LOG', now} end
    return id
  end
  note(ARGV[1], id, ARGV[4], changed)
end

for _, cache in pairs(caches) do
  if cache.indexed then
    local expired = redis.call('ZRANGEBYSCORE', cache.index, '-inf', now, 'LIMIT', 0, 20)
    for _, field in ipairs(expired) do
      redis.call('HDEL', cache.hash, field)
      redis.call('ZREM', cache.index, field)
    end
  end
end

local outcomes = {}
for n, op in ipairs(ops) do
  local cache = op.cache
  if op.dropped then
    outcomes[n] = 'x'
  elseif op.cleared then
    redis.call('HDEL', cache.hash, op.field)
    outcomes[n] = 'c'
  elseif op.kind == 's' then
    redis.call('HSET', cache.hash, op.field, op.value)
    -- The account may not have the command that makes a field expire.
    local expires = op.expires ~= '' and native
      and not redis.pcall('HPEXPIREAT', cache.hash, op.expires, 'FIELDS', 1, op.field).err
    if op.expires ~= '' and not expires then
      redis.call('ZADD', cache.index, op.expires, op.field)
      cache.indexed = true
    elseif cache.indexed then
      redis.call('ZREM', cache.index, op.field)
    end
    outcomes[n] = 's'
  elseif op.kind == 'd' then
    outcomes[n] = tostring(redis.call('HDEL', cache.hash, op.field))
  else
    redis.call('UNLINK', cache.hash, cache.index)
    cache.indexed = false
    outcomes[n] = 'p'
  end
end
for _, cache in pairs(caches) do
  if cache.stored and cache.name then
    redis.call('EXPIRE', cache.hash, ARGV[10])
    if cache.indexed then redis.call('EXPIRE', cache.index, ARGV[10]) end
  end
end
return {'OK', now, id, table.concat(outcomes)}
