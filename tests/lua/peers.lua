--- Servers in processes of their own, written with the Python library `websockets`.

local helper = require "steadwire_helper"

local peers = {}

local python = os.getenv("STW_PYTHON") or "python3"
local support = os.getenv("STW_SUPPORT")
local scratch = os.getenv("STW_SCRATCH")

local SIGKILL, SIGSTOP, SIGCONT = 9, 19, 18

-- A collected handle of a process that runs would wait for its end.
local running = {}

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
  local peer = setmetatable({ pid = pid, port = tonumber(port), output = output,
    url = "ws://127.0.0.1:" .. port }, Peer)
  running[peer] = true
  return peer
end

function Peer:kill()
  if self.output then
    helper.kill(self.pid, SIGKILL)
    self.output:close()
    self.output = nil
    running[self] = nil
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

--- Kills every server that still runs, those of tests that failed included.
function peers.stop_all()
  for peer in pairs(running) do
    peer:kill()
  end
  echo = nil
end

--- A port of 127.0.0.1 at which nobody listens.
function peers.free_port()
  local peer = peers.start()
  peer:kill()
  return peer.port
end

return peers
