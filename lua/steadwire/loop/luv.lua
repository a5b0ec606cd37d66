--- Conns inside a libuv loop (luv, luvit, Neovim).

local luv = {}

-- luvit has the library built in under the second name.
local function library()
  local is_found, uv
  for _, name in ipairs { "luv", "uv" } do
    is_found, uv = pcall(require, name)
    if is_found then
      return uv
    end
  end
  error(uv, 3)
end

--- Has the handlers of `conn` called by the loop.  After its last event on_closed(message, code) is
-- called, if there is one.  Answers a handle; handle:stop() ends it sooner.
function luv.attach(conn, on_closed)
  local uv = library()
  local fd, message, code = conn:pollfd()
  if not fd then
    return nil, message, code
  end
  local poll, prepare = uv.new_poll(fd), uv.new_prepare()
  local handle = {}

  function handle.stop()
    if poll then
      poll:stop()
      poll:close()
      prepare:stop()
      prepare:close()
      poll, prepare = nil, nil
    end
  end

  local function turn()
    local count, why, name = conn:dispatch()
    if count and conn:has_ended() and not conn:timeout() then
      count, why, name = conn:dispatch() -- the descriptor may be gone: there is no next turn
    end
    if not count then
      handle.stop()
      if on_closed then
        on_closed(why, name)
      end
    end
  end

  conn:on_release(handle.stop)
  poll:start("r", turn)
  -- What was taken in while a receipt was waited for is not in the descriptor any more.
  prepare:start(function()
    if conn:timeout() then
      turn()
    end
  end)
  prepare:unref()
  return handle
end

return luv
