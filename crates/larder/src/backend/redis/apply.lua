-- Makes a batch of changes and logs them as one record, or refuses before it touches anything.
--
-- KEYS 1 meta  2 log  3 registry of unlogged caches, then for each cache: 4, 6, … its hash  5, 7, … its expiry index, then where
--      the locks stand, if an operation has a proof
-- ARGV 1 incarnation  2 deadline (ms)  3 not before (ms)  4 nonce  5 letters: '1' if fields expire natively, '1' if it has sets,
--      then for each cache '1' if this connection writes to it for the first time
--      then the operations:  s… <hash's index in KEYS> <field> <value>, with the letters e, g, l behind s in this order, and for
--                            each of them  e <expires ms>  g <guard id, with zeros in front> <guard nonce> <bytes of a fill's value or ''>
--                            l <token of the lock's holder> <fence>
--                            d <hash's index in KEYS> <field>
--                            p <hash's index in KEYS>
-- Answers {'OK', now, id of the record or '', outcomes}, {'INC' | 'LATE' | 'WAIT' | 'LOCK', now}, {'TYPE', now, key}, or
--      {'LOG', now} if the log takes no record, or is not the one that was written here.
local now = server_time(string.byte(ARGV[5], 2) == 48)
local known = redis.call('HMGET', KEYS[1], 'inc', 'h')
if known[1] ~= ARGV[1] then return {'INC', now} end
if now > tonumber(ARGV[2]) then return {'LATE', now} end
if ARGV[3] ~= '0' and now < tonumber(ARGV[3]) then return {'WAIT', now} end

local native = string.byte(ARGV[5]) == 49
local base = #KEYS[1] - 1

-- A script is not rolled back, so what could fail half way is looked at first. In one logged cache that is nothing: if its hash
-- is another program's, which must have guessed a random name, its record says too much and nothing is changed.
local caches, logged, several = {}, false, #ARGV[5] > 3
local after = 2 * #ARGV[5]
for k = 4, after - 2, 2 do
  local cache = {hash = KEYS[k], index = KEYS[k + 1], first = string.byte(ARGV[5], k / 2 + 1) == 49}
  local name = string.byte(KEYS[k], base + 1) ~= 117 and string.sub(KEYS[k], base + 34)
  if name then cache.name, logged = name, true end
  if several or not name then
    local hash, index = redis.call('TYPE', KEYS[k]).ok, redis.call('TYPE', KEYS[k + 1]).ok
    if hash ~= 'none' and hash ~= 'hash' then return {'TYPE', now, KEYS[k]} end
    if index ~= 'none' and index ~= 'zset' then return {'TYPE', now, KEYS[k + 1]} end
    cache.indexed = index == 'zset' and not name
  end
  caches[k] = cache
end
local believed = logged and believe(known[2], ARGV[1])
if logged and not believed and not find_end(known[2], ARGV[1]) then return {'LOG', now} end

-- The names changed since a position, each with the place of its last change, and which of these stored an entry (in records
-- of older versions nobody can tell), or false when the log does not reach back to it.
local function names_since(id, nonce)
  if newest == id and mark == nonce then return {names = {}} end
  -- From the end, as most guards stand near it.
  local records = redis.call('XREVRANGE', KEYS[2], '+', id, 'COUNT', MAX_CHANGES + 2)
  local names, stored, count, place = {}, {}, 0, 0
  local first = records[#records]
  if not first or padded(first[1]) ~= id or first[2][2] ~= nonce or not is_whole(records) then names = false end
  for i = #records - 1, 1, -1 do
    local fields = records[i][2]
    count = count + tonumber(fields[4])
    if count > MAX_CHANGES then names = false end
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
-- is deleted (R6). `compared` says how many bytes at the end of the entry are compared, '' = it is no fill.
local function lost(cache, field, entry, name, known, compared)
  local names = known.names
  local key, purge = names and names[name], names and names[cache.name]
  if names and not key and not purge then return nil end
  if not names and is_unchanged(cache.name, known.id, known.nonce) then return nil end
  if compared == '' then return 'x' end
  local standing = redis.call('HGET', cache.hash, field)
  if standing then
    local from = #entry - compared + 1
    local same = #standing == #entry and string.sub(standing, from) == string.sub(entry, from)
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
  local name = kind .. (cache.name or string.sub(cache.hash, base + 3)) .. '\0' .. field
  local row = redis.call('HGET', KEYS[after], name)
  if not row then return false end
  local holder, number, _, since = string.match(row, '^(%x+) (%d+) (%d+) (%d+) ')
  return holder == token and number == fence and tonumber(since) >= born
end

-- Calls a function with what stands in ARGV from `i` on: letter of an operation, cache, field, value, expiry, and the places of
-- a guard and a proof.
local function each(visit)
  local i = 6
  while i <= #ARGV do
    local what, cache, field, value, expires, guard, proof = ARGV[i], caches[tonumber(ARGV[i + 1])]
    if what == 'p' then
      i = i + 2
    elseif what == 'd' then
      field = ARGV[i + 2]
      i = i + 3
    else
      field, value = ARGV[i + 2], ARGV[i + 3]
      i = i + 4
      if what ~= 's' then
        if string.find(what, 'e', 2, true) then
          expires = ARGV[i]
          i = i + 1
        end
        if string.find(what, 'g', 2, true) then
          guard = i
          i = i + 3
        end
        if string.find(what, 'l', 2, true) then
          proof = i
          i = i + 2
        end
        what = 's'
      end
    end
    local error = visit(what, cache, field, value, expires, guard, proof)
    if error then return error end
  end
end

-- What becomes of each guarded set, and what is to be logged.
local fates, record, kinds, changed, sets
local function decide()
  fates, record, kinds, changed, sets = {}, {}, '', {}, false
  local n = 0
  return each(function(what, cache, field, value, expires, guard, proof)
    n = n + 1
    local name, fate = cache.name, nil
    if name then
      if field then name = name .. '\0' .. field end
      if guard then
        fate = lost(cache, field, value, name, history(ARGV[guard], ARGV[guard + 1]), ARGV[guard + 2])
        fates[n] = fate
      end
      if fate ~= 'x' then
        record[#record + 1] = struct.pack('>I4', #name) .. name
        kinds = kinds .. (fate and 'd' or what)
        if not cache.changed then
          cache.changed = true
          changed[#changed + 1] = cache.name
        end
      end
    end
    if proof and not holds(cache, field, ARGV[proof], ARGV[proof + 1]) then return {'LOCK', now} end
    if what == 's' and not fate then sets, cache.stored = true, true end
  end)
end
local refused = decide()
if refused then return refused end

-- A server out of memory refuses the first write of a script if that write may take memory, and no later one. Deletes
-- must go through, so they start with one that takes none.
if not sets then redis.call('PERSIST', KEYS[1]) end

local function log()
  -- Whoever reads more than that many changes starts anew anyway, so the names of such a record would be wasted.
  local count, names = #record, ''
  if count <= MAX_CHANGES then names = table.concat(record) else kinds = '' end
  if #names > RECORD_BYTES then count, names, kinds = MAX_CHANGES + 1, '', '' end
  return append(ARGV[4], count, names, kinds)
end

local id = ''
if #record > 0 then
  id = log()
  if not id and believed and find_end(known[2], ARGV[1]) then
    -- Somebody else went on with the log: what was decided without a look at it counts for nothing.
    for _, cache in pairs(caches) do cache.stored, cache.changed = false, false end
    histories = {}
    decide()
    id = #record == 0 and '' or log()
  end
  if not id or type(id) == 'table' and string.find(id.err, 'exhausted', 1, true) then return {'LOG', now} end
  if type(id) == 'table' then return id end
  if #record > 0 then note(ARGV[1], id, ARGV[4], changed) end
end
-- What need not be done each time is done at every 16th.
local now_and_then = string.byte(ARGV[4]) < 16

for _, cache in pairs(caches) do
  if cache.first and cache.stored and not cache.name then redis.call('SADD', KEYS[3], string.sub(cache.hash, base + 1)) end
  -- Nobody misses an entry of a logged cache, so its index may be out of date.
  if cache.indexed or (now_and_then and cache.name and not native) then
    local expired = redis.call('ZRANGEBYSCORE', cache.index, '-inf', now, 'LIMIT', 0, cache.name and 320 or 20)
    if #expired > 0 then
      redis.call('HDEL', cache.hash, unpack(expired))
      redis.call('ZREM', cache.index, unpack(expired))
    end
  end
end

local outcomes, n = '', 0
each(function(what, cache, field, value, expires)
  n = n + 1
  local outcome = fates[n] or what
  if outcome == 's' then
    redis.call('HSET', cache.hash, field, value)
    -- The account may not have the command that makes a field expire.
    if expires and not (native and not redis.pcall('HPEXPIREAT', cache.hash, expires, 'FIELDS', 1, field).err) then
      redis.call('ZADD', cache.index, expires, field)
      cache.indexed = not cache.name
    elseif cache.indexed then
      redis.call('ZREM', cache.index, field)
    end
  elseif outcome == 'p' then
    redis.call('UNLINK', cache.hash, cache.index)
  elseif outcome ~= 'x' then
    local existed = redis.call('HDEL', cache.hash, field) == 1
    if outcome == 'd' then outcome = existed and '1' or '0' end
  end
  outcomes = outcomes .. outcome
end)
if now_and_then or string.find(ARGV[5], '1', 3, true) then
  for _, cache in pairs(caches) do
    if cache.stored and cache.name and (cache.first or now_and_then) then
      redis.call('EXPIRE', cache.hash, CACHE_TTL)
      redis.call('EXPIRE', cache.index, CACHE_TTL)
    end
  end
end
return {'OK', now, id, outcomes}
