-- Sends a request to the replicas of a model: sets the routing headers, and says what must be written into the request.
--
-- Until here the model stands at "-" and the others are absent, whatever came from outside. The routes of a model ask for its
-- name and for the version, where one is named; what they do not know stays the router's. Every header that is written makes
-- Envoy choose the route anew (`clear_route_cache` of the filter), when it is asked for next. Writing one costs most of a
-- microsecond, so only those are written that say something.

local MODEL, VERSION, FACE, ARM = settings.model, settings.version, settings.face, settings.arm

local M = {}

-- Gives the request to the router process after all; answers nothing.
function M.release(headers)
  headers:replace(MODEL, "-")
  headers:remove(FACE)
end

-- Whether this may be the name of a model or a version (mesh/names.py), and stand in a header; "-" stands for none there.
function M.named(name)
  return name:find("^[%w._-]+$") ~= nil and #name <= 128 and name ~= "-" and name:find("[^.]") ~= nil
end

-- A request's id as it is told: cut, and percent-encoded where it is no ASCII.
local function id_of(headers, request)
  local id = ""
  if request.id then id = request.body:getBytes(request.id, request.id_size < 256 and request.id_size or 256) end
  if id == "" then id = (headers:getAtIndex("x-request-id", 0) or ""):sub(1, 256) end
  if id:find("[%c%%\127-\255]") == nil then return id end
  return (id:gsub("[%c%%\127-\255]", function(c) return string.format("%%%02X", c:byte()) end))
end

-- For the access log: the edge's figures and exposures of splits are made of it (mesh/xds/exposures.py).
local function expose(h, headers, request, arm, point, override)
  local turn = request.model .. arm.told .. point .. (override and "\t1\t" or "\t0\t") .. id_of(headers, request)
  local told = h:streamInfo():dynamicMetadata()
  told:set(settings.exposed, settings.turn, turn)
  if arm.model ~= "" then told:set(settings.exposed, settings.asked, request.model) end -- it counts for the one asked
end

-- request
--   model, version   "": none
--   face             "rest"; nil: gRPC
--   size             bytes of a body that would have to be written anew; nil: it can be done in the path
--   stream           whether its messages cannot be written anew
--   body, id, id_size   where the request's id is; id nil: it has none
--
-- Answers the model and the version to write into the request, nil for either that stays.
function M.aim(h, headers, request)
  if headers:get("x-inferloom-explain") then return end -- the router explains
  headers:replace(MODEL, request.model)
  if request.face then headers:replace(FACE, request.face) end
  if request.version ~= "" then
    headers:replace(VERSION, request.version)
    return
  end
  local rule = h:metadata():get("rule") -- of the model's route; the one that was there before is not the one meant
  if rule == nil then return end
  if request.stream or (request.size and request.size > settings.large) then return M.release(headers) end
  if rule.split == nil then
    if rule.own == "@" then headers:replace(VERSION, rule.default) end
    return nil, rule.default
  end
  local known = split.table(rule.split, h)
  if known.by:sub(-4) == "-bin" then return M.release(headers) end -- the router decodes the value first
  local unit = nil
  if known.by ~= "" then unit = headers:getAtIndex(known.by, 0) end
  local arm, point, override = split.assign(known, unit)
  expose(h, headers, request, arm, point, override)
  headers:replace(ARM, arm.served)
  local model = arm.model ~= "" and arm.model or nil
  if arm.own == "@" then headers:replace(VERSION, arm.version) end
  if model then headers:replace(MODEL, model) end
  return model, arm.version ~= "" and arm.version or nil
end

return M
