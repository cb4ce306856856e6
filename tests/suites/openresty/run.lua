-- Runs the cases and writes one line for each: its name, and what came of it.
local function shown(value, deeper)
  local kind = type(value)
  if kind == "string" then
    local function hex(octet) return ("\\x%02x"):format(octet:byte()) end
    return (("%q"):format(value):gsub("\\\n", "\\n"):gsub("[\127-\255%c]", hex))
  elseif kind == "number" then
    return ("%.14g"):format(value)
  elseif kind == "table" and deeper > 0 then
    local parts = {}
    for name, inner in pairs(value) do
      parts[#parts + 1] = "[" .. shown(name, deeper - 1) .. "] = " .. shown(inner, deeper - 1)
    end
    table.sort(parts)
    return "{ " .. table.concat(parts, ", ") .. " }"
  elseif kind == "boolean" or kind == "nil" then
    return tostring(value)
  end
  return kind
end

-- Who asks for a value that is not there gets nil, so that it does not matter how many of these are at the end.
local function outcome(ok, ...)
  local parts, last = {}, select("#", ...)
  while last > 1 and (select(last, ...)) == nil do
    last = last - 1
  end
  for i = 1, last do
    parts[i] = shown((select(i, ...)), 4)
  end
  return (ok and "" or "error: ") .. table.concat(parts, ", ")
end

return function(port)
  local cases = require "cases"
  cases.port = port
  local lines = {}
  for i, case in ipairs(cases) do
    lines[i] = shown(case[1], 1) .. "\t" .. outcome(pcall(case[2]))
  end
  return table.concat(lines, "\n") .. "\n"
end
