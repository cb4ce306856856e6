-- resty.dns.resolver: asks name servers.
local name, slot = ...
local native = slot.native
local type, ipairs, tonumber, setmetatable = type, ipairs, tonumber, setmetatable
local char, floor, concat = string.char, math.floor, table.concat
local modules = {}

local TYPES = { A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, MX = 15, TXT = 16, AAAA = 28, SRV = 33, SPF = 99 }

local function two(number) return char(floor(number / 256) % 256, number % 256) end

modules["resty.dns.resolver"] = function()
  local resolver = { _VERSION = "0.23", CLASS_IN = 1, SECTION_AN = 1, SECTION_NS = 2, SECTION_AR = 3 }
  resolver.__index = resolver
  for kind, number in pairs(TYPES) do
    resolver["TYPE_" .. kind] = number
  end
  local ERRORS = { "format error", "server failure", "name error", "not implemented", "refused" }
  -- Labels of a message that point at each other are followed so often.
  local MOST_JUMPS = 128

  local function number_at(octets, at, length)
    local number = 0
    for i = at, at + length - 1 do
      number = number * 256 + (octets:byte(i) or 0)
    end
    return number
  end

  -- The name that begins at a place, and where what follows it begins.
  local function name_at(octets, at)
    local labels, after, jumps = {}, nil, 0
    while true do
      local length = octets:byte(at)
      if not length then
        return nil, "truncated"
      elseif length == 0 then
        return concat(labels, "."), after or at + 1
      elseif length >= 0xc0 then
        jumps = jumps + 1
        if jumps > MOST_JUMPS then
          return nil, "too many pointers"
        end
        after, at = after or at + 2, number_at(octets, at, 2) % 0x4000 + 1
      elseif length >= 0x40 then
        return nil, "bad label"
      else
        labels[#labels + 1], at = octets:sub(at + 1, at + length), at + length + 1
      end
    end
  end

  local read = {}
  read[TYPES.A] = function(answer, octets, at) answer.address = native.address_text(octets:sub(at, at + 3)) end
  read[TYPES.AAAA] = function(answer, octets, at) answer.address = native.address_text(octets:sub(at, at + 15)) end
  for number, field in pairs { [TYPES.CNAME] = "cname", [TYPES.NS] = "nsdname", [TYPES.PTR] = "ptrdname" } do
    read[number] = function(answer, octets, at) answer[field] = name_at(octets, at) end
  end
  read[TYPES.MX] = function(answer, octets, at)
    answer.preference, answer.exchange = number_at(octets, at, 2), name_at(octets, at + 2)
  end
  read[TYPES.SRV] = function(answer, octets, at)
    answer.priority, answer.weight = number_at(octets, at, 2), number_at(octets, at + 2, 2)
    answer.port, answer.target = number_at(octets, at + 4, 2), name_at(octets, at + 6)
  end
  read[TYPES.SOA] = function(answer, octets, at)
    local next_at
    answer.mname, next_at = name_at(octets, at)
    answer.rname, next_at = name_at(octets, next_at)
    for i, field in ipairs { "serial", "refresh", "retry", "expire", "minimum" } do
      answer[field] = number_at(octets, next_at + 4 * (i - 1), 4)
    end
  end
  local function texts(field)
    return function(answer, octets, at, length)
      local all, to = {}, at + length
      while at < to do
        local size = octets:byte(at)
        all[#all + 1], at = octets:sub(at + 1, at + size), at + 1 + size
      end
      answer[field] = #all == 1 and all[1] or all
    end
  end
  read[TYPES.TXT], read[TYPES.SPF] = texts("txt"), texts("spf")

  local function answers_of(octets, id, options)
    if #octets < 12 then
      return nil, "truncated"
    elseif number_at(octets, 1, 2) ~= id then
      return nil, "id mismatch"
    end
    local flags = number_at(octets, 3, 2)
    if flags < 0x8000 then
      return nil, "bad QR flag in the DNS response"
    elseif floor(flags / 0x200) % 2 == 1 then
      return nil, "truncated"
    end
    local answers, code = {}, flags % 16
    if code ~= 0 then
      answers.errcode, answers.errstr = code, ERRORS[code] or "unknown"
    end
    local at = 13
    for _ = 1, number_at(octets, 5, 2) do
      local asked, after = name_at(octets, at)
      if not asked then
        return nil, after
      end
      at = after + 4
    end
    local counts = { number_at(octets, 7, 2), number_at(octets, 9, 2), number_at(octets, 11, 2) }
    local wanted = { true, options.authority_section, options.additional_section }
    for section = 1, 3 do
      for _ = 1, counts[section] do
        local owner, after = name_at(octets, at)
        if not owner then
          return nil, after
        end
        local length = number_at(octets, after + 8, 2)
        local answer = { section = section, name = owner, type = number_at(octets, after, 2),
          class = number_at(octets, after + 2, 2), ttl = number_at(octets, after + 4, 4) }
        at = after + 10
        if at + length - 1 > #octets then
          return nil, "truncated"
        end
        if read[answer.type] then
          read[answer.type](answer, octets, at, length)
        else
          answer.rdata = octets:sub(at, at + length - 1)
        end
        if wanted[section] then
          answers[#answers + 1] = answer
        end
        at = at + length
      end
    end
    return answers
  end

  local function question(id, asked, kind, recursive)
    local labels = {}
    for label in asked:gmatch("[^.]+") do
      if #label > 63 then
        return nil, "bad name"
      end
      labels[#labels + 1] = char(#label) .. label
    end
    return two(id) .. two(recursive and 0x100 or 0) .. two(1) .. two(0) .. two(0) .. two(0) .. concat(labels) .. "\0"
      .. two(kind) .. two(1)
  end

  function resolver.new(_, options)
    options = options or {}
    local servers = {}
    for i, server in ipairs(options.nameservers or {}) do
      servers[i] = type(server) == "table" and { server[1], server[2] or 53 } or { server, 53 }
    end
    if not servers[1] then
      return nil, "no nameservers specified"
    end
    return setmetatable({ servers = servers, at = options.no_random and 0 or native.random(1):byte(),
      retrans = options.retrans or 5, timeout = options.timeout or 2000, recursive = not options.no_recurse }, resolver)
  end
  function resolver:set_timeout(ms) self.timeout = ms end

  local function ask_by_tcp(self, server, text)
    local socket = ngx.socket.tcp()
    socket:settimeout(self.timeout)
    local ok, err = socket:connect(server[1], server[2])
    if not ok then
      return nil, err
    end
    local length
    ok, err = socket:send(two(#text) .. text)
    if ok then
      length, err = socket:receive(2)
    end
    local octets
    if length then
      octets, err = socket:receive(number_at(length, 1, 2))
    end
    socket:close()
    return octets, err
  end

  local function ask_by_udp(self, server, text)
    local socket = ngx.socket.udp()
    socket:settimeout(self.timeout)
    local ok, err = socket:setpeername(server[1], server[2])
    if ok then
      ok, err = socket:send(text)
    end
    local octets
    if ok then
      octets, err = socket:receive(4096)
    end
    socket:close()
    return octets, err
  end

  local function ask(self, asked, options, first)
    options = options or {}
    local id = number_at(native.random(2), 1, 2)
    local text, err = question(id, asked, options.qtype or TYPES.A, self.recursive)
    if not text then
      return nil, err
    end
    local answers
    for _ = 1, self.retrans do
      self.at = self.at % #self.servers + 1
      local server = self.servers[self.at]
      local octets
      octets, err = first(self, server, text)
      if octets then
        answers, err = answers_of(octets, id, options)
        if not answers and err == "truncated" and first == ask_by_udp then
          octets, err = ask_by_tcp(self, server, text)
          if octets then
            answers, err = answers_of(octets, id, options)
          end
        end
        if answers then
          return answers
        end
      end
    end
    return nil, err
  end
  function resolver:query(asked, options) return ask(self, asked, options, ask_by_udp) end
  function resolver:tcp_query(asked, options) return ask(self, asked, options, ask_by_tcp) end

  function resolver.arpa_str(address)
    local octets, parts = native.address_octets(address), {}
    if not octets then
      return nil, "bad address"
    end
    for i = #octets, 1, -1 do
      local octet = octets:byte(i)
      parts[#parts + 1] = #octets == 4 and octet or ("%x.%x"):format(octet % 16, floor(octet / 16))
    end
    return concat(parts, ".") .. (#octets == 4 and ".in-addr.arpa" or ".ip6.arpa")
  end
  function resolver:reverse_query(address)
    local asked, err = resolver.arpa_str(address)
    if not asked then
      return nil, err
    end
    return self:query(asked, { qtype = TYPES.PTR })
  end
  function resolver.expand_ipv6_addr(address) return native.whole_ipv6(address) or address end
  function resolver.compress_ipv6_addr(address)
    local octets = native.address_octets(address)
    return octets and native.address_text(octets) or address
  end
  return resolver
end

return modules[name]()
