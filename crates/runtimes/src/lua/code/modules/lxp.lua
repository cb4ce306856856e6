-- lxp.lom (LuaExpat): a text of XML as tables, for code that reads answers of services. Documents with a declaration of
-- their type are refused, so that there are no entities but XML's own.
local type, ipairs = type, ipairs
local NAMED = { lt = "<", gt = ">", amp = "&", quot = '"', apos = "'" }
-- How deep elements may be within each other.
local DEEPEST = 200

-- A character by its number, in UTF-8.
local function character(number)
  if not number or number < 1 or number > 0x10ffff then
    return nil
  elseif number < 0x80 then
    return string.char(number)
  end
  local rest, lead = "", { 0xc0, 0xe0, 0xf0 }
  for count = 1, 3 do
    rest, number = string.char(0x80 + number % 64) .. rest, math.floor(number / 64)
    if number < 2 ^ (6 - count) then
      return string.char(lead[count] + number) .. rest
    end
  end
end

local function text_of(raw)
  local wrong
  local text = raw:gsub("&([^;&]*);?", function(name)
    local digits, base = name:match("^#x(%x+)$"), 16
    if not digits then
      digits, base = name:match("^#(%d+)$"), 10
    end
    local found = NAMED[name] or digits and character(tonumber(digits, base))
    wrong = wrong or not found
    return found
  end)
  return not wrong and text or nil
end

local function attributes_of(raw)
  local attributes = {}
  local at = 1
  while raw:find("%S", at) do
    local _, last, name, quote = raw:find("^%s*([^%s=<>\"']+)%s*=%s*([\"'])", at)
    local close = last and raw:find(quote, last + 1, true)
    local quoted = close and raw:sub(last + 1, close - 1)
    local value = quoted and not quoted:find("<", 1, true) and text_of(quoted)
    if not value or attributes[name] then
      return nil
    end
    attributes[#attributes + 1], attributes[name] = name, value
    at = close + 1
  end
  return attributes
end

-- The end of a tag, past what is in quotes.
local function end_of_tag(xml, at)
  while true do
    local found = xml:find("[>\"']", at)
    local mark = found and xml:sub(found, found)
    if not found or mark == ">" then
      return found
    end
    local close = xml:find(mark, found + 1, true)
    if not close then
      return nil
    end
    at = close + 1
  end
end

local function add_text(element, text)
  local count = #element
  if text == "" then
    return
  elseif type(element[count]) == "string" then
    element[count] = element[count] .. text
  else
    element[count + 1] = text
  end
end

local function parse(xml)
  if type(xml) == "function" then
    local pieces = {}
    for piece in xml do
      pieces[#pieces + 1] = piece
    end
    xml = table.concat(pieces)
  end
  local root, open, at = nil, {}, 1
  local function failed(what)
    local _, line = xml:sub(1, at):gsub("\n", "")
    return nil, what, line + 1, 1, at
  end
  while true do
    local tag = xml:find("<", at, true)
    local text = text_of(xml:sub(at, (tag or 0) - 1))
    local element = open[#open]
    if not text then
      return failed("undefined entity")
    elseif element then
      add_text(element, text)
    elseif text:find("%S") then
      return failed(root and "junk after document element" or "syntax error")
    end
    if not tag then
      break
    end
    at = tag
    local first = xml:sub(tag + 1, tag + 1)
    local last
    if xml:sub(tag, tag + 3) == "<!--" then
      last = xml:find("-->", tag + 4, true)
      last = last and last + 2
    elseif xml:sub(tag, tag + 8) == "<![CDATA[" and element then
      last = xml:find("]]>", tag + 9, true)
      if last then
        add_text(element, xml:sub(tag + 9, last - 1))
        last = last + 2
      end
    elseif first == "?" then
      last = xml:find("?>", tag + 2, true)
      last = last and last + 1
    elseif first == "!" then
      return failed("documents with a type are not read in this version")
    elseif first == "/" then
      last = xml:find(">", tag, true)
      local name = last and xml:sub(tag + 2, last - 1):match("^(%S+)%s*$")
      if not element or name ~= element.tag then
        return failed("mismatched tag")
      end
      open[#open] = nil
    else
      last = end_of_tag(xml, tag)
      local name, rest, slash = (last and xml:sub(tag + 1, last - 1) or ""):match("^([^%s/<>]+)(.-)(/?)$")
      local attributes = name and attributes_of(rest)
      if not attributes then
        return failed("not well-formed (invalid token)")
      elseif not element and root then
        return failed("junk after document element")
      elseif #open >= DEEPEST then
        return failed("elements are nested too deeply")
      end
      local made = { tag = name, attr = attributes }
      if element then
        element[#element + 1] = made
      else
        root = made
      end
      if slash == "" then
        open[#open + 1] = made
      end
    end
    if not last then
      return failed("unclosed token")
    end
    at = last + 1
  end
  if not root or #open > 0 then
    return failed("no element found")
  end
  return root
end

-- The first element of that name, the one that is given included.
local function find_elem(element, name)
  if element.tag == name then
    return element
  end
  for _, child in ipairs(element) do
    local found = type(child) == "table" and find_elem(child, name)
    if found then
      return found
    end
  end
end

-- The children that are elements, those of one name or all of them.
local function list_children(element, name)
  local at = 0
  return function()
    repeat
      at = at + 1
      local child = element[at]
      if type(child) == "table" and (not name or child.tag == name) then
        return child
      end
    until child == nil
  end
end

return { parse = parse, find_elem = find_elem, list_children = list_children }
