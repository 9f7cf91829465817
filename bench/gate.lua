-- What wrk sends to a gate: the credentials of GATE_CREDENTIALS in turn, or GATE_BEARER.
local requests, at = {}, 0

function init()
  local headers = {
    ["Host"] = "app.example.com",
    ["X-Original-Host"] = "app.example.com",
    ["X-Original-URI"] = "/reports/daily?day=1",
    ["X-Original-Method"] = "GET",
    ["X-Real-IP"] = "192.0.2.7",
  }
  local bearer = os.getenv("GATE_BEARER")
  if bearer then headers["Authorization"] = "Bearer " .. bearer end
  for line in io.lines(os.getenv("GATE_CREDENTIALS")) do
    headers["CF-Access-Client-Id"], headers["CF-Access-Client-Secret"] = line:match("(%S+) (%S+)")
    requests[#requests + 1] = wrk.format("GET", os.getenv("GATE_PATH"), headers)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("FIGURES %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), failed))
end
