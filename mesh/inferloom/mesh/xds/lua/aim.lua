-- Sends a request to the replicas of a model: sets the routing headers, and says what must be written into the request.
--
-- The headers stand at "-" until here (nothing from outside counts), and go back to it where the router has to answer.

local MODEL, VERSION, FACE, ARM = settings.model, settings.version, settings.face, settings.arm

local M = {}

-- Gives the request to the router process after all.
function M.release(h, headers)
  headers:replace(MODEL, "-")
  headers:replace(FACE, "-")
  h:clearRouteCache()
  return false
end

-- Whether this may be a model's name (mesh/names.py); "-" stands for none in the headers.
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
  h:streamInfo():dynamicMetadata():set(settings.exposed, settings.turn, turn)
end

local function route(h, headers, request)
  headers:replace(MODEL, request.model)
  if request.face then headers:replace(FACE, request.face) end
  h:clearRouteCache()
  local metadata = h:metadata() -- of the model's route; the one that was there before is not the one meant
  local version = request.version
  if version ~= "" then
    local versions = metadata:get("versions")
    local own = versions and versions[version]
    if own == nil then return M.release(h, headers) end
    if own == "@" then
      headers:replace(VERSION, version)
      h:clearRouteCache()
    end
    return true
  end
  local split_id, default = metadata:get("split"), metadata:get("default")
  if split_id == nil and default == nil then return true end
  local large = metadata:get("large")
  if request.stream or (request.size and large and request.size > large) then return M.release(h, headers) end
  if split_id == nil then
    if metadata:get("versions")[default] == "@" then
      headers:replace(VERSION, default)
      h:clearRouteCache()
    end
    return true, nil, default
  end
  local known = split.table(split_id, h, metadata)
  if known.by:sub(-4) == "-bin" then return M.release(h, headers) end -- the router decodes the value first
  local unit = nil
  if known.by ~= "" then unit = headers:getAtIndex(known.by, 0) end
  local arm, point, override = split.assign(known, unit)
  expose(h, headers, request, arm, point, override)
  headers:replace(ARM, arm.served)
  local model = arm.model ~= "" and arm.model or nil
  if arm.own == "@" then headers:replace(VERSION, arm.version) end
  if model then headers:replace(MODEL, model) end
  if model or arm.own == "@" then h:clearRouteCache() end
  return true, model, arm.version ~= "" and arm.version or nil
end

-- request
--   model, version   "": none
--   face             "rest"; nil: gRPC
--   size             bytes of a body that would have to be written anew; nil: it can be done in the path
--   stream           whether its messages cannot be written anew
--   body, id, id_size   where the request's id is; id nil: it has none
--
-- Answers whether a replica is asked; then the model and the version to write into the request, nil for either that stays.
function M.aim(h, headers, request)
  local direct, model, version = route(h, headers, request)
  if direct then headers:remove("authorization") end -- the mesh's token is nothing for replicas
  return direct, model, version
end

return M
