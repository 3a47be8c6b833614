import Protocol

/// What went wrong where the market keeps its records: the store's own code and what was tried.
public struct LedgerError: Error, Equatable, Sendable {
    /// The store's code (SQLite: an extended result code), or 0.
    public let code: Int32
    /// What was tried, the outermost layer first.
    public let message: String

    /// An error.
    public init(_ code: Int32, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// Why the market did not do what was asked.
public enum MarketError: Error, Equatable, Sendable {
    /// It would be against the rules; the asker is told why. Never from a ledger.
    case refused(Refusal)
    /// The ledger or the machine failed; the asker is told to come again.
    case failed(LedgerError)

    static func refused(_ code: Refusal.Code, _ message: String) -> MarketError { .refused(Refusal(code, message)) }
}

/// Where the market keeps its records. The rules are in `Market`; a ledger only keeps, finds and counts.
/// Every function throws `.failed` where the store fails.
public protocol Ledger: AnyObject {
    /// Runs `body` in a transaction that writes all or nothing: where `body` throws, nothing of it stays. Not nested.
    func atomically<Result>(_ body: () throws(MarketError) -> Result) throws(MarketError) -> Result

    /// The rules.
    func rules() throws(MarketError) -> Rules
    /// Replaces the rules.
    func setRules(_ rules: Rules) throws(MarketError)

    /// Adds an owner; false where there is one of that name.
    func addOwner(_ name: String, at now: UnixTime) throws(MarketError) -> Bool
    /// Whether there is an owner of that name.
    func hasOwner(_ name: String) throws(MarketError) -> Bool

    /// Adds a device.
    func addDevice(_ device: DeviceRecord) throws(MarketError)
    /// Writes what a device said of itself anew: tunnel key, governor, hardware, and what it waits for.
    func updateDevice(_ device: DeviceRecord) throws(MarketError)
    /// Writes what a device's key is known by; empty for no key.
    func setKey(_ keyHash: [UInt8], of device: DeviceID) throws(MarketError)
    /// A device by its id.
    func device(_ id: DeviceID) throws(MarketError) -> DeviceRecord?
    /// The devices of a name, at most two: more are as ambiguous as two.
    func devices(named name: String) throws(MarketError) -> [DeviceRecord]
    /// The device that has this tunnel key.
    func device(holding tunnelKey: String) throws(MarketError) -> DeviceRecord?
    /// Every device in the order of owner, name and id, with its latest lease.
    func eachDevice(_ visit: (DeviceRecord, LeaseRecord?) -> Void) throws(MarketError)

    /// A lease by its id.
    func lease(_ id: LeaseID) throws(MarketError) -> LeaseRecord?
    /// The lease that a device registered last.
    func latestLease(of device: DeviceID) throws(MarketError) -> LeaseRecord?
    /// Adds a lease, which becomes its device's latest.
    func addLease(_ lease: LeaseRecord) throws(MarketError)
    /// Writes a lease anew, except for its sighting.
    func updateLease(_ lease: LeaseRecord) throws(MarketError)
    /// Writes the sighting of a lease anew.
    func setSighting(_ sighting: Sighting, of lease: LeaseID) throws(MarketError)
    /// Rented leases whose time is up, at most `limit`.
    func overdueLeases(at now: UnixTime, limit: Int) throws(MarketError) -> [LeaseRecord]

    /// Adds a tunnel host with all its ports, or writes it anew and adds the ports that are new.
    func setTunnelHost(_ host: TunnelHost) throws(MarketError)
    /// A tunnel host by its name.
    func tunnelHost(_ host: String) throws(MarketError) -> TunnelHost?
    /// The tunnel hosts, the one with the most free ports first.
    func tunnelHosts() throws(MarketError) -> [TunnelHost]
    /// Ports that nobody has, at most `limit`, the one that has been free longest first.
    func freePorts(on host: String, limit: Int) throws(MarketError) -> [Int64]
    /// Moves a free port to the end of that line.
    func postpone(_ port: Int64, on host: String) throws(MarketError)
    /// Gives three free ports to a lease. `.failed` where one is not free: two leases on one port must be impossible.
    func claim(_ ports: ForwardPorts, on host: String, for lease: LeaseID) throws(MarketError)
    /// Frees three ports; they go to the end of the line.
    func release(_ ports: ForwardPorts, on host: String) throws(MarketError)

    /// The receipt of a lease.
    func receipt(of lease: LeaseID) throws(MarketError) -> ReceiptRecord?
    /// Keeps a receipt.
    func addReceipt(_ receipt: ReceiptRecord) throws(MarketError)
}

/// What happened, for those who watch a market. A world gets it inside the transaction, and tells it once that is durable.
public enum MarketEvent: Equatable, Sendable {
    /// A device registered a new lease, on a drive that is kept so; nil where it has not said.
    case registered(LeaseID, DeviceID, Encryption?)
    /// A device without a lease waits for something, in its words.
    case waiting(DeviceID, String)
    /// A lease was rented until then.
    case rented(LeaseID, DeviceID, until: UnixTime)
    /// A lease's end was moved.
    case extended(LeaseID, DeviceID, until: UnixTime)
    /// A lease ended.
    case ended(LeaseID, DeviceID, EndReason)
    /// A lease got other ports because the tunnel server refused the old ones.
    case moved(LeaseID, DeviceID, from: ForwardPorts, to: ForwardPorts)
    /// A lease needs other ports and there are none.
    case stuck(LeaseID, DeviceID, String)
    /// A free port is held by another program on the tunnel host; it was skipped.
    case portTaken(String, Int64)
    /// A wipe receipt was kept.
    case receipt(LeaseID, DeviceID)
}

/// What the rules need of the machine. A simulator gives its own.
public protocol MarketWorld: AnyObject {
    /// Random bytes that nobody can guess. `.failed` where there are none.
    func randomBytes(_ count: Int) throws(MarketError) -> [UInt8]
    /// Whether no program listens on this port of a local tunnel host; true where the host is not local.
    func isFree(_ port: Int64, on host: TunnelHost) -> Bool
    /// Whether `signature` (PROTOCOL.sshsig, namespace `ReceiptStatement.namespace`) of `statement` was made with `key`.
    func isSigned(_ statement: String, _ signature: String, with key: String) throws(MarketError) -> Bool
    /// Takes note of an event.
    func note(_ event: MarketEvent)
}
