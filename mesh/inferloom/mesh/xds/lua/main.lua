-- Where each request begins. Should anything here fail, the router process answers, which checks everything itself: a request
-- that was understood by half must not reach a replica.

local function is_grpc(kind)
  if kind == nil or kind:sub(1, 16) ~= "application/grpc" then return false end
  local behind = kind:sub(17, 17)
  return behind == "" or behind == "+" or behind == ";"
end

local function decide(h)
  local headers = h:headers()
  local path = headers:get(":path") or ""
  if not is_grpc(headers:get("content-type")) then
    if guard.known(headers, path) then return rest(h, headers, path) end
    return answers.http(h, path, "401", 16, settings.unknown_http)
  end
  if not guard.known(headers, path) then return answers.grpc(h, "16", settings.unknown_grpc) end
  return grpc.request(h, headers, path)
end

-- An inference over gRPC, most of what there is: its route has told so already (default_routes.py). Without a token to look at
-- first nothing is asked of the headers before the body is there, for each such question costs some tenths of a microsecond.
local function infer(h)
  if settings.guarded then
    local headers = h:headers()
    if not guard.known(headers, settings.infer) then return answers.grpc(h, "16", settings.unknown_grpc) end
  end
  return grpc.unary(h, settings.methods[settings.infer])
end

local function guarded(run)
  return function(h)
    local fine, problem = pcall(run, h)
    if fine then return end
    h:logErr("request left to the router: " .. tostring(problem))
    aim.release(h:headers())
  end
end

return { request = guarded(decide), infer = guarded(infer) }
