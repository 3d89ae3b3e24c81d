-- gRPC calls: inference of a model goes to its replicas, what the mesh never passes on is refused, all else is the router's.

local M = {}

local ERRORS = { [walk.MALFORMED] = settings.malformed, [walk.MANY] = settings.many }

-- The messages of a stream stay as they are: its model is the first one's (grpc_field_extraction has read it).
local function stream(h, headers)
  headers:remove("content-length") -- frames.lua may have set one, of what it has cut
  local found = h:streamInfo():dynamicMetadata():get("envoy.filters.http.grpc_field_extraction")
  local names = found and found["model_name"]
  local model = type(names) == "table" and names[1] or nil
  if type(model) ~= "string" or not aim.named(model) then return end
  aim.aim(h, headers, { model = model, version = "", stream = true })
end

-- A call with one message. `method`: of settings.methods.
function M.unary(h, method)
  local body = h:body()
  local headers = h:headers() -- after waiting for the body those of before are of no use
  local reason = guard.page(headers)
  if reason then return answers.grpc(h, "7", reason) end
  if body == nil then return end
  local size = body:length()
  local head = body:getBytes(0, size < walk.HEAD and size or walk.HEAD)
  local length = walk.framed(head, size)
  if length == nil or length > settings.most then return end
  local model, version, sequence, id, id_size = walk.find(body, size, head, method)
  if model == nil then
    answers.grpc(h, "3", ERRORS[version])
    return
  end
  if sequence or not model or not version or not aim.named(model) then return end
  if version ~= "" and not aim.named(version) then return end
  model, version = aim.aim(h, headers, {
    model = model,
    version = version,
    size = size,
    stream = method.stream,
    id = id,
    id_size = id_size,
    body = body,
  })
  if not (model or version) then return end
  local message = size == #head and head:sub(6) or body:getBytes(5, length)
  if model then message = message .. walk.field(method.name, model) end
  if version then message = message .. walk.field(method.version, version) end
  local announced = headers:get("content-length")
  body:setBytes(walk.frame(#message) .. message)
  if announced == nil then headers:remove("content-length") end -- setBytes has set one
end

function M.request(h, headers, path)
  local method = settings.methods[path]
  if method then return M.unary(h, method) end
  local reason = guard.page(headers) or settings.refused[path]
  if reason then return answers.grpc(h, "7", reason) end
  if path == settings.stream then return stream(h, headers) end
end

return M
