import MarketCore
import Platform
import Protocol

/// The market's log lines. An id never changes its meaning; operators' alarms are built on it.
enum LogEvent: Int {
    /// The market listens.
    case ready = 2001
    /// The market ends because it was told to.
    case stopped = 2002
    /// What a round wrote could not be made durable; its askers were told to come again.
    case commitFailed = 2003
    /// A request failed for a reason that is the market's.
    case requestFailed = 2004
    /// The search for leases whose time is up failed; it is tried again.
    case sweepFailed = 2005
    /// The machine's clock jumped; the market goes on by its own count. Told again every hour.
    case clockJumped = 2006
    /// The machine's clock agrees with the count again.
    case clockBack = 2007
    /// A device registered a new lease.
    case registered = 2101
    /// The device of a new lease keeps its drive in the clear.
    case unencrypted = 2106
    /// A device has no lease and waits for something else than it did.
    case waiting = 2107
    /// A lease was rented.
    case rented = 2102
    /// The end of a lease was moved.
    case extended = 2103
    /// A lease ended; the reason is expired, ended, erased or replaced.
    case ended = 2104
    /// A wipe receipt was kept.
    case receipt = 2105
    /// A lease got other ports: the tunnel server kept refusing the old ones.
    case moved = 2201
    /// A lease needs other ports, and none is free.
    case stuck = 2202
    /// Another program holds a port that the market may give out; it was skipped.
    case portTaken = 2203

    /// The name on the line.
    var name: String {
        switch self {
        case .ready: "market.ready"
        case .stopped: "market.stopped"
        case .commitFailed: "market.commit-failed"
        case .requestFailed: "market.request-failed"
        case .sweepFailed: "market.sweep-failed"
        case .clockJumped: "market.clock-jumped"
        case .clockBack: "market.clock-back"
        case .registered: "lease.registered"
        case .unencrypted: "lease.unencrypted"
        case .waiting: "device.waiting"
        case .rented: "lease.rented"
        case .extended: "lease.extended"
        case .ended: "lease.ended"
        case .receipt: "lease.receipt"
        case .moved: "lease.moved"
        case .stuck: "lease.stuck"
        case .portTaken: "port.taken"
        }
    }
}

/// What renters and operators are told of such a device.
let unencrypted = "this device does not encrypt its drive: whoever holds the drive can read the renter's data"

extension Log {
    /// Writes one of the market's lines.
    func write(_ level: LogLevel, _ event: LogEvent, _ fields: [LogField] = []) {
        write(level, id: event.rawValue, event.name, fields)
    }

    /// Writes what happened to a lease or port.
    func write(_ event: MarketEvent) {
        switch event {
        case .registered(let lease, let device, let encryption):
            write(.info, .registered, lease, device)
            if encryption != .luks2 { write(.warning, .unencrypted, lease, device, [LogField("meaning", unencrypted)]) }
        case .waiting(let device, let reason): write(.info, .waiting, [LogField("device", device.text), LogField("reason", reason)])
        case .rented(let lease, let device, let until): write(.info, .rented, lease, device, [LogField("expires", until.seconds)])
        case .extended(let lease, let device, let until): write(.info, .extended, lease, device, [LogField("expires", until.seconds)])
        case .ended(let lease, let device, let reason): write(.info, .ended, lease, device, [LogField("reason", reason.rawValue)])
        case .moved(let lease, let device, let old, let new):
            write(.warning, .moved, lease, device, [LogField("from", old.ssh), LogField("to", new.ssh)])
        case .stuck(let lease, let device, let why): write(.error, .stuck, lease, device, [LogField("why", why)])
        case .portTaken(let host, let port): write(.warning, .portTaken, [LogField("host", host), LogField("port", port)])
        case .receipt(let lease, let device): write(.info, .receipt, lease, device)
        }
    }

    private func write(_ level: LogLevel, _ event: LogEvent, _ lease: LeaseID, _ device: DeviceID, _ more: [LogField] = []) {
        write(level, event, [LogField("lease", lease.text), LogField("device", device.text)] + more)
    }
}
