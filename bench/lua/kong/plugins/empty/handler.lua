-- Does nothing, twice.
local Empty = { PRIORITY = 1, VERSION = "1.0.0" }

function Empty:access() end

function Empty:header_filter() end

return Empty
