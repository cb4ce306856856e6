-- Reads a header line and sets one.
local OneHeader = { PRIORITY = 1, VERSION = "1.0.0" }

function OneHeader:access()
  kong.service.request.set_header("X-Agent", kong.request.get_header("User-Agent") or "none")
end

return OneHeader
