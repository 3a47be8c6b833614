import Commands
import Database
import JSON
import MarketCore
import Platform
import Protocol

/// `market rent DEVICE --for 2h`: prints the account, once.
func rentDevice(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data", "--for", "--ssh-key"], plain: ["--json"], words: ["DEVICE"])
    let seconds = try options.duration("--for")
    let keys = try sshKeys(options)
    let rental = try withMarket(options) { market throws(MarketError) in
        try market.rent(try market.find(options.words[0]), seconds: seconds, sshKeys: keys, at: currentTime(options))
    }
    guard !options.has("--json") else { return Terminal.print(json(rental).pretty()) }
    Terminal.print("lease     " + rental.lease.text)
    Terminal.print("host      " + rental.host)
    Terminal.print("ports     ssh \(rental.ports.ssh), http \(rental.ports.http), https \(rental.ports.https)")
    Terminal.print("user      " + rental.user)
    Terminal.print("password  " + rental.password.revealText() + "   (shown this once)")
    Terminal.print("expires   " + utcText(rental.expires.seconds))
    if rental.encryption != .luks2 { Terminal.print("WARNING   " + unencrypted) }
    Terminal.print("log in    ssh -p \(rental.ports.ssh) " + rental.user + "@" + rental.host)
}

private func json(_ rental: Rental) -> JSON {
    .object([
        .init("lease", .string(rental.lease.text)), .init("device", .string(rental.device.text)), .init("host", .string(rental.host)),
        .init("sshPort", .integer(rental.ports.ssh)), .init("httpPort", .integer(rental.ports.http)),
        .init("httpsPort", .integer(rental.ports.https)), .init("user", .string(rental.user)),
        .init("password", .string(rental.password.revealText())), .init("expires", .integer(rental.expires.seconds)),
        .init("encryption", .string((rental.encryption ?? Encryption.none).rawValue)),
    ])
}

/// The lines of the file that are keys; empty ones and comments are passed over.
private func sshKeys(_ options: Options) throws(CommandFailure) -> [String] {
    guard let path = options.optional("--ssh-key") else { return [] }
    let bytes = try system(otherwise: .badData) { () throws(SystemError) in try Files.read(path, limit: 131_072) }
    return bytes.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }.filter { !$0.utf8.starts(with: "#".utf8) }
}

/// `market extend DEVICE --for 1h`.
func extendLease(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data", "--for"], words: ["DEVICE"])
    let seconds = try options.duration("--for")
    let lease = try withMarket(options) { market throws(MarketError) in
        try market.extend(try market.find(options.words[0]), seconds: seconds, at: currentTime(options))
    }
    Terminal.print("lease " + lease.id.text + " expires " + utcText(lease.expires?.seconds ?? 0))
}

/// `market end DEVICE`.
func endLease(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data"], words: ["DEVICE"])
    let lease = try withMarket(options) { market throws(MarketError) in
        try market.end(try market.find(options.words[0]), at: currentTime(options))
    }
    Terminal.print("lease " + lease.id.text + " ended")
}

/// Opens the ledger and asks the rules.
func withMarket<Result>(
    _ options: Options, _ body: (Market<Database, HostWorld>) throws(MarketError) -> Result
) throws(CommandFailure) -> Result {
    let (database, world) = try openLedger(options)
    let result = try carried { () throws(MarketError) in try body(Market(store: database, world: world)) }
    // The command's work is done and durable; a log that could not be emptied is emptied by the next command.
    do throws(MarketError) { try database.forgetHistory() } catch {}
    // A command prints what it did; the same as a log line is for those who collect the market's log.
    world.tell(Log())
    return result
}

/// `market authorized-keys KEYTYPE KEY`: what sshd asks at every connection. No lease, no line; that is no failure.
func printAuthorizedKeys(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data"], words: ["KEYTYPE", "KEY"])
    let key = options.words[0] + " " + options.words[1]
    guard isEd25519Key(key) else { return }
    let database = try openLedgerToRead(options)
    let market = Market(store: database, world: HostWorld(scratch: options.dataFolder + "/scratch"))
    let line = try carried { () throws(MarketError) in try market.authorizedKeys(for: key, at: currentTime(options)) }
    if let line { Terminal.print(line) }
}
