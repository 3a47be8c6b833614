import CLinux
import Commands
import Database
import MarketCore
import Platform
import Protocol
import Web

/// The version of the program, on the status page and in `--version`.
let marketVersion = "0.1.0"

/// `market serve`: listens until it is told to end.
func serveDevices(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(
        arguments, valued: ["--data", "--listen", "--check-in", "--refused", "--connections", "--log"], plain: ["--behind-tls-front"])
    let address = try listenAddress(options)
    let log = Log(threshold: try logLevel(options))
    let time = MarketTime(options)
    guard UnixTime.sane.contains(time.now().seconds) else {
        throw CommandFailure(.configuration, "the clock of this machine says \(utcText(time.now().seconds)); set it first (NTP)")
    }
    // Before a ledger is made: a port that is taken changes nothing.
    do throws(SystemError) { try address.probe() } catch { throw refusal(to: address, error) }
    let (database, world) = try openLedger(options)
    try setRules(options, database)
    try system(otherwise: .inputOutput) { () throws(SystemError) in try time.keep() }
    clinux_ignore_pipe_signal()
    let signals = clinux_signal_descriptor()
    guard signals >= 0 else { throw CommandFailure(SystemError.last("signalfd"), otherwise: .failed) }
    let door = MarketDoor(database: database, world: world, time: time, log: log)
    let connections = try options.number("--connections", 1...100_000) ?? 4_096
    let limits = WebLimits(body: Door.bodyLimit, connections: Int(connections))
    let server: WebServer
    do throws(SystemError) {
        server = try WebServer(address, limits: limits, tickMilliseconds: 2_000, handler: door)
    } catch { throw refusal(to: address, error) }
    log.write(.info, .ready, [LogField("listen", address.text(port: server.port)), LogField("data", options.dataFolder)])
    while true {
        let signal = try system(otherwise: .failed) { () throws(SystemError) in try server.serve(until: signals) }
        // HUP asks daemons to read their files anew; everything is read from the ledger at every request.
        if signal == SIGHUP { continue }
        log.write(.info, .stopped, [LogField("signal", signal)])
        return
    }
}

private func listenAddress(_ options: Options) throws(CommandFailure) -> ListenAddress {
    let text = options.optional("--listen") ?? "127.0.0.1:8080"
    guard let address = ListenAddress(text) else {
        throw CommandFailure(.usage, "--listen: expected an address and a port such as 127.0.0.1:8080 or [::1]:8080, found " + text)
    }
    guard address.isLoopback || options.has("--behind-tls-front") else {
        throw CommandFailure(
            .configuration,
            "--listen \(text) would take device keys in the clear; put a TLS front before the market and say --behind-tls-front")
    }
    return address
}

private func logLevel(_ options: Options) throws(CommandFailure) -> LogLevel {
    switch options.optional("--log") ?? "info" {
    case "error": .error
    case "warning": .warning
    case "info": .info
    case "debug": .debug
    default: throw CommandFailure(.usage, "--log: expected error, warning, info or debug")
    }
}

/// Keeps what the command line says for every other command; what it doesn't say stays.
private func setRules(_ options: Options, _ database: Database) throws(CommandFailure) {
    let checkIn = try options.number("--check-in", LeaseTerms.checkInRange)
    let refused = try options.number("--refused", 1...86_400)
    try carried { () throws(MarketError) in
        try database.atomically { () throws(MarketError) in
            let known = try database.rules()
            try database.setRules(
                Rules(checkInSeconds: checkIn ?? known.checkInSeconds, refusedSeconds: refused ?? known.refusedSeconds))
        }
    }
}

/// Opens the ledger, and makes it where there is none.
func openLedger(_ options: Options) throws(CommandFailure) -> (database: Database, world: HostWorld) {
    let folder = options.dataFolder
    try system(otherwise: .cannotCreate) { () throws(SystemError) in try Files.makeFolder(folder) }
    let path = folder + "/market.db"
    guard access(folder, W_OK) == 0, !Files.exists(path) || access(path, W_OK) == 0 else {
        throw CommandFailure(.notPermitted, "no permission to write \(path); run as the market's user")
    }
    let database = try carried { () throws(MarketError) in try Database(path) }
    return (database, HostWorld(scratch: folder + "/scratch"))
}

/// Opens a ledger that is there, to read only.
func openLedgerToRead(_ options: Options) throws(CommandFailure) -> Database {
    let path = options.dataFolder + "/market.db"
    guard Files.exists(path) else { throw CommandFailure(.unavailable, "there is no market at \(options.dataFolder); see --data") }
    return try carried { () throws(MarketError) in try Database(readingOnly: path) }
}

/// Why an address can't be listened on, and what to do about it.
private func refusal(to address: ListenAddress, _ error: SystemError) -> CommandFailure {
    guard error.code == EADDRINUSE else { return CommandFailure(error, otherwise: .unavailable) }
    return CommandFailure(
        .unavailable,
        "port \(address.port) is taken by another program (ss -ltnp shows which); end that one, or choose another port with --listen")
}
