-- `kong.dns`: addresses of names, by the node's resolver.
local slot = ...
local native = slot.native
local type, ipairs, setmetatable = type, ipairs, setmetatable

local TYPE_A, TYPE_AAAA = 1, 28
local dns = { TYPE_A = TYPE_A, TYPE_AAAA = TYPE_AAAA, TYPE_CNAME = 5, TYPE_SRV = 33, TYPE_LAST = -1 }

local function type_of(address) return address:find(":", 1, true) and TYPE_AAAA or TYPE_A end

-- All that a name stands for, as records.
local function look_up(name, port)
  if type(name) ~= "string" or name == "" then
    return nil, "dns client error: 101 empty record received"
  end
  local found, err = slot.wait("dns", name, port or 0)
  if not found then
    return nil, err
  end
  local answers = {}
  for i, one in ipairs(found) do
    answers[i] = { name = name, type = type_of(one.address), class = 1, address = one.address, port = one.port,
      ttl = 0 }
  end
  return answers
end

function dns.resolve(name, options)
  local wanted = type(options) == "table" and options.qtype or nil
  local all, err = look_up(name)
  if not all or wanted == nil or wanted == dns.TYPE_LAST then
    return all, err, {}
  end
  local of_type = {}
  for _, answer in ipairs(all) do
    of_type[#of_type + 1] = answer.type == wanted and answer or nil
  end
  if #of_type == 0 then
    return nil, "dns client error: 101 empty record received", {}
  end
  return of_type, nil, {}
end

-- One of the addresses; each time another one.
local turn = 0
function dns.toip(name, port)
  if type(name) == "string" and native.address_kind(name:match("^%[(.*)%]$") or name) then
    return name:match("^%[(.*)%]$") or name, port
  end
  local all, err = look_up(name, port)
  if not all then
    return nil, err, {}
  end
  turn = turn + 1
  local chosen = all[turn % #all + 1]
  return chosen.address, chosen.port ~= 0 and chosen.port or port, {}
end

function dns.connect(socket, name, port, options)
  local address, found_port = dns.toip(name, port)
  if not address then
    return nil, found_port
  end
  return socket:connect(address, found_port, options)
end
function dns.setpeername(socket, name, port)
  local address, found_port = dns.toip(name, port)
  if not address then
    return nil, found_port
  end
  return socket:setpeername(address, found_port)
end

function dns.init() return true end
function dns.stats() return {} end

-- A client of its own, as libraries make one, is the node's, too.
local client = {}
client.__index = client
function client.resolve(_, name, qtype) return dns.resolve(name, { qtype = qtype }) end
function client.resolve_address(_, name, port) return dns.toip(name, port) end
function dns.new() return setmetatable({}, client) end

kong.dns = dns
