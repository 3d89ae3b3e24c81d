-- HTTP: inference by the Open Inference Protocol's REST goes to the model's replicas, by a path written anew; what the mesh
-- never passes on is refused, all else is the router's.

local ACTIONS = { infer = true, generate = true, generate_stream = true }
local SEQUENCE = '"sequence_id"'
local PIECE = 65536 -- bytes looked at in one go

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- model, version ("": none), action, and whether the path is written as the replicas expect it; nil: it is no inference.
local function target(path)
  local name, rest = path:match("^/v2/models/([^/]+)/(.+)$")
  if name == nil then return nil end
  local version, action = rest:match("^versions/([^/]+)/([%a_]+)$")
  if version == nil then
    version, action = "", rest
  end
  if not ACTIONS[action] then return nil end
  local model, wanted = decoded(name), decoded(version)
  if not aim.named(model) or (wanted ~= "" and not aim.named(wanted)) then return nil end
  return model, wanted, action, model == name and wanted == version
end

-- Whether the JSON of a body speaks of a sequence, whose requests only the router keeps together.
local function sequence(h)
  local packed = h:headers():get("content-encoding")
  if packed ~= nil and packed ~= "identity" then return true end -- it cannot be told
  local body = h:body()
  if body == nil then return false end
  local size = body:length()
  local told = h:headers():get("inference-header-content-length")
  local json = told and told:match("^%d+$") and tonumber(told) or size
  if json > size then json = size end
  local at = 0
  while at < json do
    local width = json - at < PIECE and json - at or PIECE
    if body:getBytes(at, width):find(SEQUENCE, 1, true) then return true end
    if at + width >= json then return false end
    at = at + width - #SEQUENCE + 1
  end
  return false
end

local function refusal(path, verb)
  for _, entry in ipairs(settings.forbidden) do
    if entry.verbs[verb] and path:find(entry.pattern) then return entry.message end
  end
  return nil
end

return function(h, headers, whole)
  local path, query = whole:match("^([^?]*)(.*)$")
  local reason = guard.host(headers)
  if reason then return answers.http(h, path, "403", 7, reason) end
  if path:sub(1, 4) ~= "/v2/" then return end
  local verb = headers:get(":method")
  local message = refusal(path, verb)
  if message then return answers.http(h, path, "403", 7, message) end
  if verb ~= "POST" then return end
  if headers:get("upgrade") then return end
  local model, version, action, written = target(path)
  if model == nil then return end
  reason = guard.origin(headers)
  if reason then return answers.http(h, path, "403", 7, reason) end
  if sequence(h) then return end
  headers = h:headers() -- after waiting for the body those of before are of no use
  local other, chosen = aim.aim(h, headers, { model = model, version = version, face = "rest" })
  if written and not other and not chosen then return end
  version = chosen or version
  if version ~= "" then action = "versions/" .. version .. "/" .. action end
  headers:replace(":path", "/v2/models/" .. (other or model) .. "/" .. action .. query)
end
