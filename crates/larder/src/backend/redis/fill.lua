-- One fill that is not waited for (R31): what `apply.lua` would do, with as few commands as can be.
--
-- KEYS 1 meta  2 log  3 the cache's hash  4 its expiry index
-- ARGV 1 incarnation  2 nonce  3 letters: '1' if fields expire natively, '1' if this connection writes to the cache for the
--      first time  4 cache  5 field  6 value  7 expires ms or ''  8 guard id, with zeros in front  9 guard nonce
--      10 bytes of the value that are compared  11 name of the change, packed
-- Answers {'OK', 0, id of the record or '', outcome}, {'INC', 0}, or {'LOG', 0} if the log takes no record, or is not
--      the one that was written here.
local known = redis.call('HMGET', KEYS[1], 'inc', 'h', 'd')
if known[1] ~= ARGV[1] then return {'INC', 0} end
local cache, field, value, expires, guard, name = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[11]

-- Whether the key or its cache changed since the guard's position. What only looks like that counts, too: a fill may always
-- be dropped.
local function changed()
  local records = redis.call('XREVRANGE', KEYS[2], '+', guard, 'COUNT', MAX_CHANGES + 2)
  local first = records[#records]
  if not first or padded(first[1]) ~= guard or first[2][2] ~= ARGV[9] or not is_whole(records) then
    return not is_unchanged(cache, guard, ARGV[9])
  end
  local purge = struct.pack('>I4', #cache) .. cache
  for i = 1, #records - 1 do
    local fields = records[i][2]
    local names = fields[6]
    if names == '' and fields[4] ~= '0' then return not is_unchanged(cache, guard, ARGV[9]) end
    if string.find(names, name, 1, true) or string.find(names, purge, 1, true) then return true end
  end
  return false
end

-- Makes the fill, where `last` is the newest record that is not of a stored fill, or one after that; answers its outcome and the
-- id of its record, or false if the log takes none.
local function fill(last)
  -- Nothing but fills followed a guard that is not before `last`, and those are found by the entry that stands.
  local outcome = 's'
  if not (last <= guard and redis.call('HSETNX', KEYS[3], field, value) == 1) then
    if not changed() then
      redis.call('HSET', KEYS[3], field, value)
    else
      local standing = redis.call('HGET', KEYS[3], field)
      local from = #value - ARGV[10] + 1
      if standing and #standing == #value and string.sub(standing, from) == string.sub(value, from) then
        return 'x', ''
      end
      -- It lost, maybe against a set of another value: nobody knows which is newer (R6).
      redis.call('HDEL', KEYS[3], field)
      outcome = 'c'
    end
  end
  local id = append(ARGV[2], 1, name, outcome == 's' and 's' or 'd')
  if type(id) == 'string' then
    if outcome == 's' then
      redis.call('HSET', KEYS[1], 'h', ARGV[1] .. ARGV[2] .. floor .. id, 'l:' .. cache, id, 'd', last .. id)
    else
      note(ARGV[1], id, ARGV[2], {cache})
    end
    return outcome, id
  end
  redis.call('HDEL', KEYS[3], field)
  return false
end

local outcome, id
if believe(known[2], ARGV[1]) then
  local last, at = string.sub(known[3] or '', 1, 41), string.sub(known[3] or '', 42)
  outcome, id = fill(at == newest and last or newest)
end
if not outcome and find_end(known[2], ARGV[1]) then outcome, id = fill(newest) end
if not outcome then return {'LOG', 0} end
if outcome == 's' then
  local native, first = string.byte(ARGV[3], 1, 2)
  if expires ~= '' and not (native == 49 and not redis.pcall('HPEXPIREAT', KEYS[3], expires, 'FIELDS', 1, field).err) then
    redis.call('ZADD', KEYS[4], expires, field)
    redis.call('EXPIRE', KEYS[4], CACHE_TTL)
  end
  -- Now and then is often enough: it is of a month.
  if first == 49 or string.byte(ARGV[2]) < 16 then redis.call('EXPIRE', KEYS[3], CACHE_TTL) end
end
return {'OK', 0, id, outcome}
