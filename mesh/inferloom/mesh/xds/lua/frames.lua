-- Has what a caller sends of a stream end behind a message, until the first one is whole: grpc_field_extraction, which is next,
-- forgets what it has taken of a second message when it has read the first (seen with Envoy 1.39.3), and what follows would be
-- read from the middle. A part that is cut off goes with the bytes that come next; come they must, for it is no whole message.

local FRAME = 5 -- bytes of a gRPC frame's header

local function length(head)
  local _, a, b, c, d = head:byte(1, FRAME)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

function envoy_on_request(h)
  local head, missing, cut = "", nil, nil -- of the message that is being read: its frame's header, the bytes that lack
  for chunk in h:bodyChunks() do
    local size = chunk:length()
    if cut then
      chunk:setBytes(cut .. chunk:getBytes(0, size))
      return
    end
    local at, whole = 0, nil -- the place behind the last message that ends here
    while at < size do
      if missing == nil then
        local more = math.min(FRAME - #head, size - at)
        head, at = head .. chunk:getBytes(at, more), at + more
        if #head == FRAME then head, missing = "", length(head) end
      else
        local more = math.min(missing, size - at)
        missing, at = missing - more, at + more
      end
      if missing == 0 then missing, whole = nil, at end
    end
    if whole == size then return end
    if whole then
      cut = chunk:getBytes(whole, size - whole)
      chunk:setBytes(chunk:getBytes(0, whole))
    end
  end
end
