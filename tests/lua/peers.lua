--- Servers in processes of their own, written with the Python library `websockets`.

local helper = require "steadwire_helper"

local peers = {}

local python = os.getenv("STW_PYTHON") or "python3"
local support = os.getenv("STW_SUPPORT")
local scratch = os.getenv("STW_SCRATCH")

local SIGKILL, SIGSTOP, SIGCONT = 9, 19, 18

local Peer = {}
Peer.__index = Peer

--- Starts `python -m peers.echo_server <arguments>` and waits until it listens.
function peers.start(arguments)
  local script = "echo $$; echo $$ >>'%s/pids'; PYTHONPATH='%s' exec '%s' -m peers.echo_server %s"
  local command = script:format(scratch, support, python, arguments or "")
  local output = assert(io.popen(command, "r"))
  local pid = tonumber(output:read("*l"))
  local port = (output:read("*l") or ""):match("^ready (%d+)$")
  assert(pid and port, "the echo server did not start")
  return setmetatable({ pid = pid, port = tonumber(port), output = output,
    url = "ws://127.0.0.1:" .. port }, Peer)
end

function Peer:kill()
  if self.output then
    helper.kill(self.pid, SIGKILL)
    self.output:close()
    self.output = nil
  end
end

function Peer:freeze()
  helper.kill(self.pid, SIGSTOP)
end

function Peer:thaw()
  helper.kill(self.pid, SIGCONT)
end

local echo

--- The plain echo server that most tests share.
function peers.echo()
  echo = echo or peers.start()
  return echo
end

function peers.stop_echo()
  if echo then
    echo:kill()
    echo = nil
  end
end

--- A port of 127.0.0.1 at which nobody listens.
function peers.free_port()
  local peer = peers.start()
  peer:kill()
  return peer.port
end

return peers
