-- The model and version that a message names, found as mesh/wire.py does: by the lengths of its top-level fields, never
-- into a tensor, the last occurrence of a field wins.
--
-- Envoy's buffer is read in windows: one call for the head of the message, further ones only behind a tensor.

local M = {}

local byte, sub = string.byte, string.sub

local FRAME = 5 -- bytes of a gRPC frame's header
local LONGEST = 128 -- bytes of a name (mesh/names.py)
local MOST_FIELDS = 65536
local LARGEST_TAG = 0xFFFFFFFF
local TAG_AND_LENGTH = 20 -- bytes they take at most
local WINDOW, WIDE, NARROW_ONES = 1024, 65536, 16 -- bytes; wide ones follow, so that many small fields cost few calls

local ID, PARAMETERS = 3, 4 -- fields of ModelInferRequest
local SEQUENCE_KEY = "\10\11sequence_id" -- an entry of that map whose key is "sequence_id" ...
local NO_SEQUENCE = { -- ... and whose value is 0 or "": no sequence to Triton
  [SEQUENCE_KEY] = true,
  [SEQUENCE_KEY .. "\18\0"] = true,
  [SEQUENCE_KEY .. "\18\2\16\0"] = true,
  [SEQUENCE_KEY .. "\18\2\26\0"] = true,
}

-- A varint and the place behind it; nil where it ends too early or not at all.
local function varint(text, at)
  local value, unit = 0, 1
  for _ = 1, 10 do
    local c = byte(text, at)
    if c == nil then return nil end
    at = at + 1
    if c < 128 then return value + c * unit, at end
    value = value + (c - 128) * unit
    unit = unit * 128
  end
  return nil
end

-- The length of the one message of a body; nil where the body is none, more than one, or a compressed one.
function M.framed(head, size)
  local flag, a, b, c, d = byte(head, 1, FRAME)
  if flag ~= 0 or d == nil then return nil end
  local length = ((a * 256 + b) * 256 + c) * 256 + d
  if length ~= size - FRAME then return nil end
  return length
end

-- The frame's header of a message of that many bytes.
function M.frame(length)
  local floor = math.floor
  return string.char(0, floor(length / 16777216) % 256, floor(length / 65536) % 256, floor(length / 256) % 256, length % 256)
end

-- A string field, to be appended; its number is below 16.
function M.field(number, text)
  local length = #text
  if length < 128 then return string.char(number * 8 + 2, length) .. text end
  return string.char(number * 8 + 2, length % 128 + 128, math.floor(length / 128)) .. text
end

M.HEAD = WINDOW
M.MALFORMED, M.MANY = 1, 2

-- The window: `text` holds the bytes `first` up to `last` of the body, counted from 0. One request at a time: nothing yields.
local text, first, last, narrow = "", 0, 0, 0

local function refill(body, size, from)
  local width = WIDE
  if narrow > 0 then
    narrow, width = narrow - 1, WINDOW
  end
  if from + width > size then width = size - from end
  text, first, last = body:getBytes(from, width), from, from + width
end

-- A value that may be a name: false where it is too long for one.
local function name(body, size, at, length)
  if length > LONGEST then return false end
  if at + length > last then refill(body, size, at) end
  return sub(text, at - first + 1, at - first + length)
end

-- Whether an entry of the parameters makes the request part of a sequence; nil: it says nothing of it.
local function sequential(body, size, at, length)
  if length < #SEQUENCE_KEY then return nil end
  local seen = #SEQUENCE_KEY + 5 -- longer than any that stands for no sequence
  if length < seen then seen = length end
  if at + seen > last then refill(body, size, at) end
  local entry = sub(text, at - first + 1, at - first + seen)
  if sub(entry, 1, #SEQUENCE_KEY) ~= SEQUENCE_KEY then return nil end
  return not NO_SEQUENCE[entry]
end

-- What the message of a framed body names; `head` holds its first bytes. Answers
--   model, version  "": none; false: no name the mesh knows
--   sequence        whether the request belongs to a sequence
--   id, id_size     where in the body the request's id is; nil: it has none
-- or nil and one of the two errors above.
function M.find(body, size, head, method)
  local name_field, version_field, infer = method.name, method.version, method.infer
  local model, version, sequence, id, id_size = "", "", false, nil, nil
  text, first, last, narrow = head, 0, #head, NARROW_ONES
  local at, count = FRAME, 0
  while at < size do
    count = count + 1
    if last < size and at + TAG_AND_LENGTH > last then refill(body, size, at) end
    local i = at - first + 1
    local tag = byte(text, i)
    i = i + 1
    if tag >= 128 then
      tag, i = varint(text, i - 1)
      if tag == nil or tag > LARGEST_TAG then return nil, M.MALFORMED end
    end
    local wire = tag % 8
    if wire == 2 then
      local length = byte(text, i)
      i = i + 1
      if length == nil then return nil, M.MALFORMED end
      if length >= 128 then
        length, i = varint(text, i - 1)
        if length == nil then return nil, M.MALFORMED end
      end
      at = first + i - 1
      if at + length > size then return nil, M.MALFORMED end
      local field = (tag - 2) / 8
      if field == name_field then
        model = name(body, size, at, length)
      elseif field == version_field then
        version = name(body, size, at, length)
      elseif infer and field == ID then
        id, id_size = at, length
      elseif infer and field == PARAMETERS then
        local said = sequential(body, size, at, length)
        if said ~= nil then sequence = said end
      end
      at = at + length
    elseif wire == 0 then
      local value
      value, i = varint(text, i)
      if value == nil then return nil, M.MALFORMED end
      at = first + i - 1
    elseif wire == 1 then
      at = first + i + 7
    elseif wire == 5 then
      at = first + i + 3
    else
      return nil, M.MALFORMED
    end
    if count > MOST_FIELDS then return nil, M.MANY end
  end
  if at ~= size then return nil, M.MALFORMED end
  return model, version, sequence, id, id_size
end

return M
