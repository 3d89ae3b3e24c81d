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
  if settings.loopback and headers:get("origin") ~= nil then -- a browser: no other client sends one
    local reason = guard.host(headers) or guard.origin(headers)
    if reason then return answers.grpc(h, "7", reason) end
  end
  return grpc(h, headers, path)
end

return function(h)
  local fine, problem = pcall(decide, h)
  if fine then return end
  h:logErr("request left to the router: " .. tostring(problem))
  aim.release(h, h:headers())
end
