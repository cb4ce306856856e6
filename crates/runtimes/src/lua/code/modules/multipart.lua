-- Parts of a form (`multipart/form-data`), where lua-multipart is not installed.
local Multipart = {}
Multipart.__index = Multipart

local function boundary_of(kind)
  local boundary = type(kind) == "string" and (kind:match('boundary="([^"]+)"') or kind:match("boundary=([^;%s]+)"))
  return boundary or nil
end

-- A part: its header lines, as they came, and its content.
local function part_of(text)
  local head, content = text:match("^(.-)\r?\n\r?\n(.*)$")
  if not head then
    head, content = "", text
  end
  local part = { headers = {}, value = content }
  for line in head:gmatch("[^\r\n]+") do
    part.headers[#part.headers + 1] = line
    if line:lower():find("^content%-disposition:") then
      part.name = line:match('[;%s]name="([^"]*)"') or line:match("[;%s]name=([^;%s]+)")
    end
  end
  return part
end

local function parse(body, boundary)
  local parts, mark = {}, "--" .. boundary
  local at = body:find(mark, 1, true)
  while at and body:sub(at + #mark, at + #mark + 1) ~= "--" do
    local from = at + #mark
    local following = body:find("\n" .. mark, from, true)
    if not following then
      break
    end
    local part = part_of((body:sub(from, following - 1):gsub("^\r?\n", ""):gsub("\r$", "")))
    if part.name then
      parts[#parts + 1] = part
    end
    at = following + 1
  end
  return parts
end

local function new(_, body, kind)
  local boundary = boundary_of(kind)
  return setmetatable({ boundary = boundary, parts = body and boundary and parse(body, boundary) or {} }, Multipart)
end

local function find(self, name)
  for place, part in ipairs(self.parts) do
    if part.name == name then
      return place, part
    end
  end
end

function Multipart:get(name) return (select(2, find(self, name))) end

function Multipart:get_all()
  local all = {}
  for _, part in ipairs(self.parts) do
    all[part.name] = part.value
  end
  return all
end

function Multipart:get_all_as_arrays()
  local all = {}
  for _, part in ipairs(self.parts) do
    all[part.name] = all[part.name] or {}
    table.insert(all[part.name], part.value)
  end
  return all
end

function Multipart:get_as_array(name) return self:get_all_as_arrays()[name] or {} end

local function simple(name, value, file, kind)
  local line = 'Content-Disposition: form-data; name="' .. name .. '"'
  if file then
    line = line .. '; filename="' .. file .. '"'
  end
  return { name = name, value = value, headers = { line, kind and "Content-Type: " .. kind or nil } }
end

function Multipart:set_simple(name, value, file, kind)
  self.parts[find(self, name) or #self.parts + 1] = simple(name, value, file, kind)
end

function Multipart:set_array_simple(name, values)
  self:delete(name)
  for _, value in ipairs(values) do
    self.parts[#self.parts + 1] = simple(name, value)
  end
end

function Multipart:delete(name)
  local place = find(self, name)
  while place do
    table.remove(self.parts, place)
    place = find(self, name)
  end
end

function Multipart:tostring()
  local out = {}
  for _, part in ipairs(self.parts) do
    out[#out + 1] = "--" .. self.boundary .. "\r\n" .. table.concat(part.headers, "\r\n") .. "\r\n\r\n" .. part.value
      .. "\r\n"
  end
  out[#out + 1] = "--" .. self.boundary .. "--\r\n"
  return table.concat(out)
end

return setmetatable(Multipart, { __call = new })
