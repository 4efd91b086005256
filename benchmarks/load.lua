-- Asks what stands in a file, line by line and round and round; says in JSON what came of it.
-- wrk -s load.lua URL -- FILE BASE-PATH PART-OF-THE-FILE [HEADER VALUE]...   (a part from 0 up to less than 1)

local threads = {}

function setup(thread)
  thread:set("first", #threads * 7919)
  table.insert(threads, thread)
end

function init(args)
  for number = 4, #args, 2 do
    wrk.headers[args[number]] = args[number + 1]
  end
  asked = {}
  for line in io.lines(args[1]) do
    table.insert(asked, wrk.format("GET", args[2] .. "/" .. line))
  end
  at = first + math.floor(tonumber(args[3]) * #asked)
end

function request()
  at = at + 1
  return asked[at % #asked + 1]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.6f,"bytes":%d,"p50":%.3f,"p95":%.3f,"p99":%.3f,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
