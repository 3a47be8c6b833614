import JSON
import Protocol

extension Market {
    /// Keeps a wipe receipt. The same again gives the same answer. A lease that still runs ends with it: its data is gone.
    /// Refused: no such lease of this device, a statement about another lease or device, a signature that isn't the device's, or another
    /// statement about a lease whose receipt is kept already.
    public func keepReceipt(_ receipt: Receipt, from device: DeviceID, at now: UnixTime) throws(MarketError) -> ReceiptAnswer {
        // The signature is checked outside the transaction, for that takes a child's whole life.
        let key = try checked(receipt, from: device)
        return try store.atomically { () throws(MarketError) in
            guard var lease = try store.lease(receipt.lease) else { throw .refused(.notFound, "no lease \(receipt.lease.text)") }
            if try store.receipt(of: receipt.lease) == nil {
                try store.addReceipt(ReceiptRecord(receipt: receipt, device: device, key: key, received: now))
                world.note(.receipt(receipt.lease, device))
            }
            if lease.state != .ended { try end(&lease, .erased, at: now) }
            return ReceiptAnswer(lease: receipt.lease, time: now)
        }
    }

    /// Checks all of a receipt; answers the key that signed it.
    private func checked(_ receipt: Receipt, from device: DeviceID) throws(MarketError) -> String {
        let statement = try Self.statement(of: receipt)
        guard statement.lease == receipt.lease, statement.device == device else {
            throw .refused(.badRequest, "the statement is about another lease or device")
        }
        guard let lease = try store.lease(receipt.lease), lease.device == device else {
            throw .refused(.notFound, "this device has no lease \(receipt.lease.text)")
        }
        if let kept = try store.receipt(of: receipt.lease) {
            guard kept.receipt.statement == receipt.statement else {
                throw .refused(.conflict, "another receipt of lease \(receipt.lease.text) is kept already")
            }
            return kept.key
        }
        guard let key = try store.device(device)?.tunnelKey else {
            throw .refused(.conflict, "the device has not registered a key")
        }
        guard try world.isSigned(receipt.statement, receipt.signature, with: key) else {
            throw .refused(.badRequest, "the signature is not this device's for this statement")
        }
        return key
    }

    /// Reads the statement of a receipt strictly.
    public static func statement(of receipt: Receipt) throws(MarketError) -> ReceiptStatement {
        do throws(JSONError) { return try ReceiptStatement(try JSON.parse(Array(receipt.statement.utf8))) } catch {
            throw .refused(.badRequest, "statement: " + error.message)
        }
    }

    /// The line that sshd's AuthorizedKeysCommand prints for a tunnel key: nothing but the three forwards of the lease that its device
    /// holds; nil where there is no such lease. It only reads.
    public func authorizedKeys(for key: String, at now: UnixTime) throws(MarketError) -> String? {
        guard let device = try store.device(holding: key), let lease = try store.latestLease(of: device.id),
            lease.state != .ended, !lease.isOverdue(at: now), let host = try store.tunnelHost(lease.host)
        else { return nil }
        // `restrict` turns everything off, port-forwarding as well; what follows turns only the three listeners on again.
        return "restrict,port-forwarding,permitlisten=\"\(host.bind):\(lease.ports.ssh)\""
            + ",permitlisten=\"127.0.0.1:\(lease.ports.http)\",permitlisten=\"127.0.0.1:\(lease.ports.https)\" " + key
    }
}
