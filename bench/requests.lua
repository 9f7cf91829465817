-- The requests that wrk sends: BENCH_KIND says which, BENCH_IDS is a file with one service token id a line.
local ids = {}
for line in io.lines(os.getenv("BENCH_IDS")) do ids[#ids + 1] = line end
local kind = os.getenv("BENCH_KIND")
local tokens = "/client/v4/accounts/" .. os.getenv("BENCH_ACCOUNT") .. "/access/service_tokens"
local headers = { ["X-Auth-Email"] = os.getenv("BENCH_EMAIL"), ["X-Auth-Key"] = os.getenv("BENCH_KEY") }
math.randomseed(tonumber(os.getenv("BENCH_SEED") or "1"))

function request()
  if kind == "health" then return wrk.format("GET", "/healthz") end
  if kind == "list" then return wrk.format("GET", tokens .. "?per_page=1000", headers) end
  local token = tokens .. "/" .. ids[math.random(#ids)]
  if kind == "refresh" then return wrk.format("POST", token .. "/refresh", headers) end
  return wrk.format("GET", token, headers)
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("FIGURES %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), failed))
end
