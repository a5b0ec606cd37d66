-- lua/steadwire/meta.lua against the engine's lists and the functions that there are.

local harness = require "harness"
local steadwire = require "steadwire"
local Conn = require "steadwire.conn"
local Outbox = require "steadwire.outbox"
local Receipt = require "steadwire.receipt"

local it, equal = harness.it, harness.equal

local function read_meta()
  for template in package.path:gmatch("[^;]+") do
    local file = io.open((template:gsub("%?", "steadwire/meta")), "r")
    if file then
      local text = file:read("*a")
      file:close()
      return text
    end
  end
  error("lua/steadwire/meta.lua is not on the path")
end

local TYPES = { text = "string", duration = "steadwire.Duration", bytes = "integer|string",
  count = "integer", bool = "boolean", list = "string|string[]",
  map = "table<string|integer, string>" }

local function type_of(name, option)
  if name == "credentials" then
    return '"off"|"host"|steadwire.CredentialsFunction'
  elseif name == "inbound_from" then
    return "string|integer|integer[]"
  elseif option.type == "choice" then
    return '"' .. option.range:gsub(" | ", '"|"') .. '"'
  end
  return TYPES[option.type]
end

local function sorted_names(list)
  local names = {}
  for name in pairs(list) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

it("every_option_has_its_field", function()
  local options, lines = steadwire.words.options, { "---@class steadwire.Options" }
  for _, name in ipairs(sorted_names(options)) do
    local option = options[name]
    local mark = name == "url" and "" or "?"
    local default = option.default ~= "" and " default " .. option.default or ""
    lines[#lines + 1] = ("---@field %s%s %s%s"):format(name, mark, type_of(name, option), default)
  end
  local block = read_meta():match("(%-%-%-@class steadwire%.Options\n.-)\n\n")
  equal(block, table.concat(lines, "\n"), "the class steadwire.Options")
end)

it("every_word_is_in_its_alias", function()
  local meta = read_meta()
  local lists = { State = "states", MessageState = "message_states", EventKind = "events",
    Guarantee = "guarantees", Lane = "lanes" }
  for alias, list in pairs(lists) do
    local block = meta:match("%-%-%-@alias steadwire%." .. alias .. "([ \n].-)\n\n")
    local words = {}
    for word in block:gmatch('"([%w_]+)"') do
      words[word] = true
    end
    equal(table.concat(sorted_names(words), " "),
      table.concat(sorted_names(steadwire.words[list]), " "), alias)
  end
  local proofs = meta:match("@alias steadwire%.Proof (.-)\n"):gsub('"', "")
  equal(proofs, table.concat(steadwire.words.proofs, "|"))
end)

-- The fields of a class that are functions.
local function described(meta, class)
  local block = meta:match("\n%-%-%-@class " .. class .. "\n(.-)\n\n")
    or meta:match("\n%-%-%-@class " .. class .. "\n(.*)$")
  local names = {}
  for name in block:gmatch("@field ([%w_]+) fun%(") do
    names[name] = true
  end
  return table.concat(sorted_names(names), " ")
end

local function existing(methods)
  local names = {}
  for name, value in pairs(methods) do
    if type(value) == "function" and not name:find("^_") and name ~= "new" then
      names[name] = true
    end
  end
  return table.concat(sorted_names(names), " ")
end

it("every_function_is_described", function()
  local meta = read_meta()
  equal(described(meta, "steadwire"), existing(steadwire))
  equal(described(meta, "steadwire.Conn"), existing(Conn))
  equal(described(meta, "steadwire.Receipt"), existing(Receipt))
  equal(described(meta, "steadwire.Outbox"), existing(Outbox))
end)
