--- Conns inside cqueues.  A conn can also be given to `cqueues.poll` as it is.
--
-- Several coroutines may use one conn here: what one of them takes in wakes the others.

local condition = require "cqueues.condition"
local core = require "steadwire.core"
local cqueues = require "cqueues"

local loop = {}

local watches = setmetatable({}, { __mode = "k" })

local function watch(conn)
  local self = watches[conn]
  if not self then
    self = { changed = condition.new(), absorbed = conn._absorbed }
    watches[conn] = self
    conn:on_release(function()
      self.changed:signal()
      local fd = conn:pollfd()
      if fd then
        cqueues.cancel(fd)
      end
    end)
  end
  return self
end

-- Wakes the other coroutines if this one has taken something in.
local function share(conn, self)
  if self.absorbed ~= conn._absorbed then
    self.absorbed = conn._absorbed
    self.changed:signal()
  end
end

-- Tries until the answer is another than "timeout"; in between the coroutine sleeps.
local function retry(conn, timeout, try, ...)
  local self = watch(conn)
  local seconds = core.duration(timeout)
  local deadline = seconds and cqueues.monotime() + seconds
  while true do
    local answer, message, code = try(...)
    share(conn, self)
    if answer or code ~= "timeout" then
      return answer, message, code
    end
    local left = deadline and deadline - cqueues.monotime()
    if left and left <= 0 then
      return nil, message, code
    end
    cqueues.poll({ pollfd = conn:pollfd(), events = "r" }, self.changed, left)
  end
end

--- Calls the handlers of `conn` until it has ended; yields while there is nothing to do.
-- True, or nil, message and the cause if it ended unasked.
function loop.run(conn)
  local self = watch(conn)
  while true do
    local count, message, code = conn:dispatch()
    share(conn, self)
    if not count then
      if conn:ended_as_asked() then
        return true
      end
      return nil, message, conn:cause() or code
    end
    if count == 0 then
      cqueues.poll(conn, self.changed)
    else
      cqueues.sleep(0)
    end
  end
end

--- Starts `run` for each conn as a coroutine of the controller.
function loop.attach(controller, ...)
  for _, conn in ipairs { ... } do
    controller:wrap(loop.run, conn)
  end
  return controller
end

--- conn:recv that yields instead of blocking the thread.
function loop.recv(conn, timeout)
  return retry(conn, timeout, conn.recv, conn, 0)
end

--- receipt:wait that yields instead of blocking the thread.
function loop.wait(receipt, proof, timeout)
  return retry(receipt.conn, timeout, receipt.wait, receipt, proof, 0)
end

return loop
