import CLinux
import MarketCore
import Platform
import Protocol

/// This machine, as the rules need it.
final class HostWorld: MarketWorld {
    private let scratch: String
    private var events: [MarketEvent] = []

    /// `scratch` is a folder for files that live as long as one check of a signature; made when needed.
    init(scratch: String) { self.scratch = scratch }

    func randomBytes(_ count: Int) throws(MarketError) -> [UInt8] {
        try machine { () throws(SystemError) in try Random.bytes(count) }
    }

    /// Tries what sshd would do, on the two addresses that forwards listen on: bind(2) and listen(2).
    func isFree(_ port: Int64, on host: TunnelHost) -> Bool {
        guard host.isLocal else { return true }
        return canListen("0.0.0.0", port) && canListen("127.0.0.1", port)
    }

    private func canListen(_ address: String, _ port: Int64) -> Bool {
        let raw = clinux_stream_socket(AF_INET)
        // Without a descriptor nothing is known; sshd will tell, and the lease then gets other ports.
        guard raw >= 0 else { return true }
        let socket = FileDescriptor(owning: raw)
        return clinux_bind(socket.raw, address, UInt16(truncatingIfNeeded: port)) == 0 && listen(socket.raw, 1) == 0
    }

    /// `ssh-keygen -Y verify`.
    func isSigned(_ statement: String, _ signature: String, with key: String) throws(MarketError) -> Bool {
        try machine { () throws(SystemError) in
            try Files.makeFolder(scratch)
            let name = scratch + "/" + (try Random.hex(8))
            defer {
                unlink(name + ".allowed")
                unlink(name + ".sig")
            }
            let space = ReceiptStatement.namespace
            try Files.publish(name + ".allowed", Array("device namespaces=\"\(space)\" \(key)\n".utf8), mode: 0o600)
            try Files.publish(name + ".sig", Array(signature.utf8), mode: 0o600)
            let outcome = try run(
                Command(
                    ["ssh-keygen", "-Y", "verify", "-f", name + ".allowed", "-I", "device", "-n", space, "-s", name + ".sig"],
                    input: Array(statement.utf8)))
            return outcome.status == 0
        }
    }

    private func machine<Result>(_ body: () throws(SystemError) -> Result) throws(MarketError) -> Result {
        do throws(SystemError) { return try body() } catch { throw .failed(LedgerError(error.code, error.message)) }
    }

    func note(_ event: MarketEvent) { events.append(event) }

    /// Writes the events to the log: what they tell is durable now.
    func tell(_ log: Log) {
        for event in events { log.write(event) }
        events.removeAll(keepingCapacity: true)
    }

    /// Forgets the events: what they tell was not kept.
    func forget() { events.removeAll(keepingCapacity: true) }
}
