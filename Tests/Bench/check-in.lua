-- Check-ins of random devices for wrk; DEVICES names a file of lines "id key lease".
local devices = {}
for line in io.lines(os.getenv("DEVICES")) do
    local id, key, lease = line:match("(%S+) (%S+) (%S+)")
    devices[#devices + 1] = {id = id, key = key, lease = lease}
end
math.randomseed(42)

function request()
    local device = devices[math.random(#devices)]
    local headers = {
        ["Authorization"] = "Bearer " .. device.key,
        ["Sublet-Nonce"] = "0123456789abcdef0123456789abcdef",
        ["Content-Type"] = "application/json",
    }
    local body = '{"lease":"' .. device.lease .. '","phase":"offered","tunnel":"up","start":1,"uptime":12345}'
    return wrk.format("POST", "/api/v1/devices/" .. device.id .. "/check-in", headers, body)
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("check-ins %.0f a second, p50 %.2f ms, p99 %.2f ms, max %.2f ms, failed %d\n",
        summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
        errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
