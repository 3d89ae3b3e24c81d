-- Who is let in: tokens, and the rules for browsers of services/typed/http_guard.py.
--
-- A page of any site can make the reader's browser send requests to 127.0.0.1, and by DNS rebinding even read the answers:
-- where only this machine is listened to, the Host of a browser's request must be a loopback name, and where a request may
-- change something its Origin must be this server's.

local M = {}

local right = {} -- headers that were found right; no others are kept

-- Tokens stand here by their hash alone: whoever reads the source, or a dump of it, learns none.
local function hash(text)
  local words = { sha256(text) }
  for i, word in ipairs(words) do
    words[i] = string.format("%04x%04x", math.floor(word / 65536), word % 65536)
  end
  return table.concat(words)
end

-- Whether the request has a token, or needs none.
function M.known(headers, path)
  if not settings.guarded or path:find(settings.open, 1, true) == 1 then return true end
  local given = headers:get("authorization")
  if given == nil or #given > 4096 then return false end
  if right[given] then return true end
  if not settings.tokens[hash(given)] then return false end
  right[given] = true
  return true
end

local function loopback(host)
  local name = (host:match("^%[([^%]]*)%]") or host:match("^([^:]*)")):lower()
  return name == "localhost"
    or name == "::1"
    or name:find("^127%.%d+%.%d+%.%d+$") ~= nil
    or name:find("%.localhost$") ~= nil
end

-- Why a request is refused by the name it was sent to; nil where it is not.
function M.host(headers)
  local host = headers:get(":authority") or ""
  if not settings.loopback or loopback(host) then return nil end
  return "Host '" .. answers.shown(host) .. "': this server listens on " .. settings.host .. " and answers to localhost only"
end

-- Why a gRPC call is refused; nil where it is not. Of its clients only browsers send an Origin.
function M.page(headers)
  if not settings.loopback or headers:get("origin") == nil then return nil end
  return M.host(headers) or M.origin(headers)
end

-- Why a request is refused by the page it comes from; nil where it is not.
function M.origin(headers)
  local origin = headers:get("origin")
  if origin == nil then
    if headers:get("sec-fetch-site") == "cross-site" then return "a page of another site may not call this server" end
    return nil
  end
  local authority = origin:match("^[%a][%w+.-]*://([^/?#]*)")
  if authority ~= nil and authority:lower() == (headers:get(":authority") or ""):lower() then return nil end
  return "Origin '" .. answers.shown(origin) .. "': a page of another site may not call this server"
end

return M
