-- The end of the log, and what `m` notes of each cache's last change (R29). Stands before the scripts that log.
--
-- KEYS 1 meta  2 log. Ids have zeros in front here, so that they compare as strings do. The meta key has for each logged cache
-- `l:<cache>`, the id of the last record that changed it; `h`: incarnation, nonce of the newest record, id of the record since
-- which the notes are whole, id of the newest record; and if that is of a fill, `d`: id of the newest record that is not of a
-- stored fill, id of the newest record.

-- Those of write.rs: the most changes listed, records in the log, bytes in it, bytes of a record's names, seconds that a logged
-- cache is kept which nobody writes to.
local MAX_CHANGES, LOG_RECORDS, LOG_BYTES, RECORD_BYTES, CACHE_TTL = 1000, 10000, 67108864, 1048576, 2592000

-- An id with zeros in front; what is none is later than all.
local function padded(id)
  local time, number = string.match(id or '', '^(%d+)-(%d+)$')
  if not time then return ':' end
  return string.rep('0', 20 - #time) .. time .. '-' .. string.rep('0', 20 - #number) .. number
end

-- Id and nonce of the newest record, and since when the notes are whole.
local newest, mark, floor
-- What is known of positions that are too far back for the log to tell what followed them.
local reached = {}

-- Takes the notes' word for it. `append` finds out if the log went on without them.
local function believe(notes, incarnation)
  if not notes or #notes ~= 130 or string.sub(notes, 1, 32) ~= incarnation then return false end
  mark, floor, newest = string.sub(notes, 33, 48), string.sub(notes, 49, 89), string.sub(notes, 90)
  return true
end

-- Reads it in the log; false if there is no record, or if the newest is older than the notes: then this is not the log that was
-- written here. Notes that end at another record are not whole: an older version went on with the log, or they were put back.
local function find_end(notes, incarnation)
  local record = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  if not record then return false end
  newest, mark, reached = padded(record[1]), record[2][2], {}
  local own = notes and #notes > 89 and string.sub(notes, 1, 32) == incarnation
  local noted = own and padded(string.sub(notes, 90))
  if noted and noted > newest then return false end
  floor = noted == newest and string.sub(notes, 33, 48) == mark and string.sub(notes, 49, 89) or newest
  return true
end

-- Appends a record. Its id is the one after the newest, so the server refuses it if anybody went on with the log, and a reader
-- sees if a record is missing before it. Answers the id; false if the notes are not of this log; or an error.
local function append(nonce, count, names, kinds)
  local number = tonumber(string.sub(newest, 22))
  if not number or number > 9007199254740990 then return false end
  local id = string.sub(newest, 1, 21) .. string.format('%020d', number + 1)
  local added
  -- Now and then is often enough, for records of usual size.
  if string.byte(nonce) < 16 or #names > 4096 then
    local length = math.min(LOG_RECORDS, math.max(1, math.floor(LOG_BYTES / (#names + 100))))
    added = redis.pcall('XADD', KEYS[2], 'NOMKSTREAM', 'MAXLEN', '~', length, id, 'n', nonce, 'c', count, 'v', names, 't', kinds)
  else
    added = redis.pcall('XADD', KEYS[2], 'NOMKSTREAM', id, 'n', nonce, 'c', count, 'v', names, 't', kinds)
  end
  if added and not added.err then return id end
  return added and not string.find(added.err, 'equal or smaller', 1, true) and added
end

-- Notes a record, and that it changed these caches.
local function note(incarnation, id, nonce, caches)
  local fields = {'h', incarnation .. nonce .. floor .. id, 'l:' .. caches[1], id}
  for n = 2, #caches do
    fields[#fields + 1] = 'l:' .. caches[n]
    fields[#fields + 1] = id
    if #fields >= 1000 then
      redis.call('HSET', KEYS[1], unpack(fields))
      fields = {'h', fields[2]}
    end
  end
  redis.call('HSET', KEYS[1], unpack(fields))
end

-- Whether no record is missing among those from the end of the log back to a position, both included. Only one of an older
-- version has another number than the one after the record before it, and then that is 0.
local function is_whole(records)
  local before
  for i = #records, 1, -1 do
    local number = tonumber(string.match(records[i][1], '-(%d+)$'))
    if before and number ~= 0 and number ~= before + 1 then return false end
    before = number
  end
  return true
end

-- Whether nothing changed a cache after a position that may be too far back for the log to tell. The position is of the present
-- incarnation (if not, its id is before all others).
local function is_unchanged(cache, at, nonce)
  local known = reached[at .. nonce]
  if known == nil then
    known = floor <= at and at <= newest
    if known then
      local record = redis.call('XRANGE', KEYS[2], at, at)[1]
      if record then
        known = record[2][2] == nonce
      else
        -- Only what was trimmed may be missing.
        local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
        known = oldest and at < padded(oldest[1])
      end
    end
    if known then
      -- A server that lost changes would not know that (R5).
      known = redis.call('HGET', KEYS[1], 'cert') == identify()
    end
    reached[at .. nonce] = known
  end
  if not known then return false end
  local change = redis.call('HGET', KEYS[1], 'l:' .. cache)
  return not change or padded(change) <= at
end
