import CLinux
import Commands
import Database
import JSON
import MarketCore
import Platform
import Protocol

/// `market receipt show LEASE`: prints the receipt as a file for `verify`.
func showReceipt(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data"], words: ["LEASE"])
    guard let lease = LeaseID(options.words[0]) else { throw CommandFailure(.usage, "LEASE has 32 lower-case hex digits") }
    let database = try openLedgerToRead(options)
    guard let kept = try carried({ () throws(MarketError) in try database.receipt(of: lease) }) else {
        throw CommandFailure(.unavailable, "no receipt of lease " + lease.text)
    }
    Terminal.print(kept.receipt.json.pretty())
}

/// `market receipt verify FILE`: whoever has the device's public key can check a receipt without trusting the market.
func verifyReceipt(_ arguments: ArraySlice<String>) throws(CommandFailure) {
    let options = try Options(arguments, valued: ["--data", "--key"], words: ["FILE"])
    let receipt = try readReceipt(options.words[0])
    let statement = try carried { () throws(MarketError) in
        try Market<Database, HostWorld>.statement(of: receipt)
    }
    guard statement.lease == receipt.lease else { throw CommandFailure(.badData, "the statement is about another lease") }
    let key = try signer(options, statement)
    let scratch = try system { () throws(SystemError) in
        (Invocation.environment("TMPDIR") ?? "/tmp") + "/sublet-receipt-" + (try Random.hex(8))
    }
    defer { rmdir(scratch) }
    let world = HostWorld(scratch: scratch)
    guard try carried({ () throws(MarketError) in try world.isSigned(receipt.statement, receipt.signature, with: key) }) else {
        throw CommandFailure(.badData, "the signature is not of this key for this statement")
    }
    Terminal.print("good: lease \(statement.lease.text) of device \(statement.device.text)")
    let report = statement.report
    Terminal.print("drive \(report.drive), \(report.bytes) bytes, \(report.method.rawValue), encryption \(report.encryption.rawValue)")
    Terminal.print("checks " + report.checks.joined(separator: " "))
    if let finished = statement.finished { Terminal.print("finished " + utcText(finished.seconds)) }
}

private func readReceipt(_ path: String) throws(CommandFailure) -> Receipt {
    let bytes = try system(otherwise: .badData) { () throws(SystemError) in try Files.read(path, limit: Door.bodyLimit) }
    do throws(JSONError) { return try Receipt(try JSON.parse(bytes)) } catch {
        throw CommandFailure(.badData, path + ": " + error.message)
    }
}

/// The key to check with: given in words, or the one that the market knew the device by when it got this receipt, or knows it by now.
private func signer(_ options: Options, _ statement: ReceiptStatement) throws(CommandFailure) -> String {
    if let given = options.optional("--key") {
        let key = firstTwoWords(given)
        guard isEd25519Key(key) else { throw CommandFailure(.usage, "--key: expected \"ssh-ed25519 AAAA…\"") }
        return key
    }
    let database = try openLedgerToRead(options)
    let known = try carried { () throws(MarketError) in
        if let kept = try database.receipt(of: statement.lease), kept.device == statement.device { return kept.key as String? }
        return try database.device(statement.device)?.tunnelKey
    }
    guard let known else { throw CommandFailure(.unavailable, "the market knows no key of device " + statement.device.text) }
    return known
}
