import Commands
import Database
import JSON
import MarketCore
import Platform
import Protocol

/// `market owner add NAME`.
func addOwner(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data"], words: ["NAME"])
    let (database, world) = try openLedger(options)
    try carried { () throws(MarketError) in
        try Market(store: database, world: world).addOwner(options.words[0], at: currentTime(options))
    }
    Terminal.print("owner " + options.words[0])
}

/// `market device add`: prints a device-config.json, the only place where the device's key is ever shown.
func addDevice(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data", "--owner", "--name", "--server"])
    let owner = try options.value("--owner")
    let server = try serverURL(options)
    let (database, world) = try openLedger(options)
    let added = try carried { () throws(MarketError) in
        try Market(store: database, world: world).addDevice(owner: owner, name: options.optional("--name"), at: currentTime(options))
    }
    printConfig(server, added.device, added.key)
}

/// `market device rekey`: prints a device-config.json with another key.
func rekeyDevice(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data", "--server"], words: ["DEVICE"])
    let server = try serverURL(options)
    let (device, key) = try withMarket(options) { market throws(MarketError) in
        let device = try market.find(options.words[0])
        return (device, try market.rekey(device))
    }
    printConfig(server, device, key)
}

/// `market device revoke`: its key lets nobody in any more.
func revokeDevice(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data"], words: ["DEVICE"])
    let device = try withMarket(options) { market throws(MarketError) in
        let device = try market.find(options.words[0])
        try market.revoke(device, at: currentTime(options))
        return device
    }
    Terminal.print("device \(device.id.text) revoked")
}

private func serverURL(_ options: Options) throws(CommandFailure) -> String {
    let server = options.optional("--server") ?? "http://127.0.0.1:8080"
    guard server.utf8.starts(with: "http://".utf8) || server.utf8.starts(with: "https://".utf8) else {
        throw CommandFailure(.usage, "--server: expected a URL that starts with https:// (or http://), found " + server)
    }
    return server
}

private func printConfig(_ server: String, _ device: DeviceRecord, _ key: Secret) {
    let config = JSON.object([
        .init("server", .string(server)), .init("deviceId", .string(device.id.text)), .init("deviceKey", .string(key.revealText())),
        .init("name", .string(device.name)),
    ])
    Terminal.print(config.pretty())
}

/// `market device list`.
func listDevices(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data"], plain: ["--json"])
    let database = try openLedgerToRead(options)
    let now = currentTime(options)
    var rows: [DeviceRow] = []
    try carried { () throws(MarketError) in
        try database.eachDevice { device, lease in rows.append(DeviceRow(device: device, lease: lease, now: now)) }
    }
    guard !options.has("--json") else { return Terminal.print(JSON.array(rows.map { $0.json }).pretty()) }
    Terminal.put(table([DeviceRow.titles] + rows.map { $0.cells }))
}

/// A device in a listing.
struct DeviceRow {
    let device: DeviceRecord
    let lease: LeaseRecord?
    let now: UnixTime

    static let titles = ["DEVICE", "NAME", "OWNER", "STATE", "PHASE", "TUNNEL", "FAULT", "SEEN", "EXPIRES", "SSH", "ENCRYPTION"]

    /// The state as it is now, whether the sweep has noted it yet or not.
    var state: String {
        guard !device.isRevoked else { return "revoked" }
        guard let lease else { return "new" }
        return lease.isOverdue(at: now) ? LeaseState.ended.rawValue : lease.state.rawValue
    }

    /// What the device said last, and when: that it waits, or where its lease stands.
    private var phase: (word: String, fault: String?, seen: UnixTime)? {
        if let waiting = device.waiting, waiting.told.seconds >= lease?.sighting.seen.seconds ?? 0 {
            return ("waiting", waiting.reason, waiting.told)
        }
        return lease.map { ($0.sighting.phase.rawValue, $0.sighting.fault, $0.sighting.seen) }
    }

    var cells: [String] {
        let seen = phase.map { "\(max(0, now.seconds - $0.seen.seconds))s" }
        return [
            device.id.text, device.name, device.owner, state, phase?.word ?? "-",
            lease?.sighting.tunnel.rawValue ?? "-", phase?.fault ?? "-", seen ?? "-",
            lease?.expires.map { utcText($0.seconds) } ?? "-", lease.map { $0.host + ":\($0.ports.ssh)" } ?? "-",
            device.hardware.map { $0.encryption == .none ? "NONE" : $0.encryption.rawValue } ?? "-",
        ]
    }

    var json: JSON {
        var members: [JSON.Member] = [
            .init("id", .string(device.id.text)), .init("name", .string(device.name)), .init("owner", .string(device.owner)),
            .init("state", .string(state)),
        ]
        if let governor = device.governor { members.append(.init("governor", .string(governor))) }
        if let hardware = device.hardware {
            members += [
                .init("architecture", .string(hardware.architecture)), .init("processors", .integer(hardware.processors)),
                .init("memoryMiB", .integer(hardware.memoryMiB)), .init("storageMiB", .integer(hardware.storageMiB)),
                .init("encryption", .string(hardware.encryption.rawValue)),
            ]
        }
        if let phase {
            members += [.init("phase", .string(phase.word)), .init("seen", .integer(phase.seen.seconds))]
            if let fault = phase.fault { members.append(.init("fault", .string(fault))) }
        }
        if let lease { members += leaseMembers(lease) }
        return .object(members)
    }

    private func leaseMembers(_ lease: LeaseRecord) -> [JSON.Member] {
        var members: [JSON.Member] = [
            .init("lease", .string(lease.id.text)), .init("registered", .integer(lease.registered.seconds)),
            .init("tunnel", .string(lease.sighting.tunnel.rawValue)), .init("uptime", .integer(lease.sighting.uptime)),
        ]
        if let expires = lease.expires { members.append(.init("expires", .integer(expires.seconds))) }
        if let reason = lease.reason { members.append(.init("reason", .string(reason.rawValue))) }
        return members + [
            .init("host", .string(lease.host)), .init("sshPort", .integer(lease.ports.ssh)),
            .init("httpPort", .integer(lease.ports.http)), .init("httpsPort", .integer(lease.ports.https)),
        ]
    }
}

/// Columns as wide as their widest cell.
func table(_ rows: [[String]]) -> String {
    guard let first = rows.first else { return "" }
    var widths = [Int](repeating: 0, count: first.count)
    for row in rows { for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.utf8.count) } }
    var text = ""
    for row in rows {
        var line = ""
        for (column, cell) in row.enumerated() {
            line += column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.utf8.count + 2)
        }
        text += line + "\n"
    }
    return text
}

/// `market tunnel add`.
func addTunnelHost(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(
        arguments, valued: ["--data", "--host", "--port", "--user", "--host-key", "--host-key-file", "--bind", "--ports"],
        plain: ["--local"])
    let host = TunnelHost(
        host: try options.value("--host"), sshPort: try options.number("--port", 1...65_535) ?? 22, user: try options.value("--user"),
        hostKey: try hostKey(options), bind: options.optional("--bind") ?? "0.0.0.0", range: try portRange(options),
        isLocal: options.has("--local"))
    let (database, world) = try openLedger(options)
    try carried { () throws(MarketError) in try Market(store: database, world: world).setTunnelHost(host) }
    Terminal.print("tunnel \(host.host) ports \(host.range.lowerBound)-\(host.range.upperBound)")
}

/// `market tunnel list`.
func listTunnelHosts(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data"])
    let database = try openLedgerToRead(options)
    let hosts = try carried { () throws(MarketError) in try database.tunnelHosts() }
    let rows = hosts.map { host in
        [
            host.host, "\(host.sshPort)", host.user, host.bind, "\(host.range.lowerBound)-\(host.range.upperBound)", "\(host.free)",
            host.isLocal ? "yes" : "no",
        ]
    }
    Terminal.put(table([["HOST", "PORT", "USER", "BIND", "PORTS", "FREE", "LOCAL"]] + rows))
}

private func hostKey(_ options: Options) throws(CommandFailure) -> String {
    if let text = options.optional("--host-key") { return firstTwoWords(text) }
    let path = try options.value("--host-key-file")
    let bytes = try system(otherwise: .badData) { () throws(SystemError) in try Files.read(path, limit: 16_384) }
    return firstTwoWords(String(decoding: bytes, as: UTF8.self))
}

/// A key without its comment.
func firstTwoWords(_ text: String) -> String {
    text.split(whereSeparator: { $0 == " " || $0 == "\n" || $0 == "\t" }).prefix(2).joined(separator: " ")
}

private func portRange(_ options: Options) throws(CommandFailure) -> ClosedRange<Int64> {
    let text = try options.value("--ports")
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let first = Int64(parts[0]), let last = Int64(parts[1]), first <= last else {
        throw CommandFailure(.usage, "--ports: expected a range such as 20000-29999, found " + text)
    }
    return first...last
}
