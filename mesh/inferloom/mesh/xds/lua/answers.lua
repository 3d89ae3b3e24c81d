-- What the edge answers itself, in the words and the form of the router.

local M = {}

-- A gRPC status without a message; `message` is percent-encoded.
function M.grpc(h, code, message)
  h:respond({
    [":status"] = "200",
    ["content-type"] = "application/grpc",
    ["grpc-status"] = code,
    ["grpc-message"] = message,
  }, "")
end

-- As JSON: Triton's form under /v2, elsewhere google.rpc.Status. Nothing in `message` needs escaping.
function M.http(h, path, status, code, message)
  local body = '{"code": ' .. code .. ', "message": "' .. message .. '", "details": []}'
  if path:find("^/v2") then body = '{"error": "' .. message .. '"}' end
  h:respond({ [":status"] = status, ["content-type"] = "application/json" }, body)
end

-- Text from outside, fit to be shown in a message.
function M.shown(text)
  return (text:sub(1, 100):gsub("[^%w.:/%[%]_-]", "?"))
end

return M
