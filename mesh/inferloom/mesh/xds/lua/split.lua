-- Which arm of a split a request belongs to: the arm function of mesh/split.py and mesh/splits/ranges.py.

local M = {}

local floor = math.floor

local DROPPED = 4096 -- 2^12: ranges are kept with 52 bits of a point's 64
local SPAN = 4503599627370496 -- 2^52
local MOST = 256 -- splits whose tables a worker keeps

-- Each worker draws its own numbers: its tables lie at other addresses than those of others, and of other processes.
math.randomseed(os.time() + tonumber(tostring({}):match("0x(%x+)") or "0", 16) % 4294967296)

local tables, kept = {}, 0

-- The pieces of a split in order: where each begins, and whose it is.
local function read(spec)
  local pieces = {}
  for _, arm in ipairs(spec.arms) do
    arm.told = string.format("\t%s\t%s\t%.17g\t", arm.name, arm.served, arm.part) -- for the access log
    for _, piece in ipairs(arm.ranges or {}) do
      pieces[#pieces + 1] = { piece[1], arm }
    end
  end
  table.sort(pieces, function(a, b) return a[1] < b[1] end)
  local starts, owners = {}, {}
  for i, piece in ipairs(pieces) do
    starts[i], owners[i] = piece[1], piece[2]
  end
  local testers = {}
  for unit, index in pairs(spec.overrides or {}) do
    testers[unit] = spec.arms[index + 1]
  end
  return { salt = spec.salt, by = spec.by or "", starts = starts, owners = owners, testers = testers }
end

-- The table of a split, read once for each worker: from the virtual host's metadata, for a route's is copied by every request.
function M.table(id, h)
  local known = tables[id]
  if known == nil then
    if kept >= MOST then
      tables, kept = {}, 0
    end
    known = read(h:virtualHost():metadata():get("split_spec"))
    tables[id], kept = known, kept + 1
  end
  return known
end

local function owner(split, place)
  local starts = split.starts
  local low, high = 1, #starts
  while low < high do
    local middle = floor((low + high + 1) / 2)
    if starts[middle] <= place then low = middle else high = middle - 1 end
  end
  return split.owners[low]
end

-- The arm of a request, the point of its unit as 16 hexadecimal digits ("" without a unit), and whether it was set by hand.
function M.assign(split, unit)
  if unit == nil or unit == "" then return owner(split, floor(math.random() * SPAN)), "", false end
  local high, low = sha256(split.salt .. "\31" .. unit)
  local point = string.format("%04x%04x%04x%04x", floor(high / 65536), high % 65536, floor(low / 65536), low % 65536)
  local tester = split.testers[unit]
  if tester ~= nil then return tester, point, true end
  return owner(split, high * 1048576 + floor(low / DROPPED)), point, false
end

return M
