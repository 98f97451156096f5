-- One shape of request with random numbers in it, and what became of the requests as JSON.
-- Arguments: method, path, body, If-None-Match, seeds, models, "count" or "", delay in ms.
-- {seed} and {model} stand in path and body for a number below `seeds`, and for 1 to `models`.

local threads = {}
local method, path, body, seeds, models, delay_ms
local headers = {}

statuses = ""
local counted = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  method, path, body = args[1], args[2], args[3]
  if args[4] ~= "" then headers["If-None-Match"] = args[4] end
  if body ~= "" then headers["Content-Type"] = "application/json" else body = nil end
  seeds, models, delay_ms = tonumber(args[5]), tonumber(args[6]), tonumber(args[8])
  math.randomseed(os.time())
  if args[7] == "count" then response = count end
  if delay_ms > 0 then delay = wait end
end

local function filled(text)
  text = text:gsub("{seed}", string.format("%d", math.random(0, seeds - 1)))
  return (text:gsub("{model}", string.format("%d", math.random(1, models))))
end

function request()
  return wrk.format(method, filled(path), headers, body and filled(body))
end

-- Clients that all came at the same moments would be another load.
function wait()
  return delay_ms * (0.5 + math.random())
end

function count(status, received)
  local key = tostring(status)
  if status == 503 and not (received["retry-after"] or received["Retry-After"]) then
    key = "503 without Retry-After"
  end
  counted[key] = (counted[key] or 0) + 1
  local parts = {}
  for name, number in pairs(counted) do
    table.insert(parts, string.format('"%s": %d', name, number))
  end
  statuses = table.concat(parts, ", ")
end

function done(summary, latency)
  local found = {}
  for _, thread in ipairs(threads) do table.insert(found, "{" .. thread:get("statuses") .. "}") end
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"seconds": %f, "requests": %d, "bytes": %d, "p50_ms": %f, "p99_ms": %f, ' ..
    '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d, "statuses": [%s]}\n',
    summary.duration / 1e6, summary.requests, summary.bytes,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout,
    table.concat(found, ", ")))
end
