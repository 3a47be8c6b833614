/// Every event that the governor logs, with the fixed number that operators act on. Numbers are never used again for something else.
public enum LogEvent: Int, CaseIterable, Sendable {
    case started = 1001
    case stopping = 1002
    case configurationBad = 1003
    case journalFailed = 1004
    case journalUnreadable = 1005
    case driveReady = 1101
    case driveGone = 1102
    case driveForeign = 1103
    case driveFailing = 1104
    case driveMended = 1105
    case driveOwed = 1106
    case lookFailed = 1107
    case registered = 1201
    case registrationFailed = 1202
    case registrationUseless = 1203
    case checkedIn = 1211
    case checkInFailed = 1212
    case answerRefused = 1213
    case clockDoubted = 1214
    case rented = 1221
    case extended = 1222
    case expired = 1223
    case endedByMarket = 1224
    case storageReady = 1301
    case storageFailed = 1302
    case storageUnencrypted = 1303
    case storageStaysOpen = 1304
    case engineUp = 1401
    case engineDown = 1402
    case containerUp = 1403
    case containerDown = 1404
    case tunnelUp = 1501
    case tunnelDown = 1502
    case tunnelRefused = 1503
    case fenceDown = 1551
    case fenceUp = 1552
    case offered = 1601
    case erasing = 1701
    case erased = 1702
    case eraseFailed = 1703
    case receiptKept = 1711
    case receiptFailed = 1712
    case vaultAsked = 1801
    case vaultRefused = 1802
    case vaultClosed = 1803
    case vaultFailed = 1804
    case lampFailed = 1851
    case lampMended = 1852
    case step = 1901

    /// The name in the log line.
    public var name: String {
        switch self {
        case .started: "governor.started"
        case .stopping: "governor.stopping"
        case .configurationBad: "config.bad"
        case .journalFailed: "journal.failed"
        case .journalUnreadable: "journal.unreadable"
        case .driveReady: "drive.ready"
        case .driveGone: "drive.gone"
        case .driveForeign: "drive.foreign"
        case .driveFailing: "drive.failing"
        case .driveMended: "drive.mended"
        case .driveOwed: "drive.owed"
        case .lookFailed: "drive.look-failed"
        case .registered: "lease.registered"
        case .registrationFailed: "lease.registration-failed"
        case .registrationUseless: "lease.registration-useless"
        case .checkedIn: "market.checked-in"
        case .checkInFailed: "market.check-in-failed"
        case .answerRefused: "market.answer-refused"
        case .clockDoubted: "market.clock-doubted"
        case .rented: "lease.rented"
        case .extended: "lease.extended"
        case .expired: "lease.expired"
        case .endedByMarket: "lease.ended-by-market"
        case .storageReady: "storage.ready"
        case .storageFailed: "storage.failed"
        case .storageUnencrypted: "storage.unencrypted"
        case .storageStaysOpen: "storage.stays-open"
        case .engineUp: "engine.up"
        case .engineDown: "engine.down"
        case .containerUp: "container.up"
        case .containerDown: "container.down"
        case .tunnelUp: "tunnel.up"
        case .tunnelDown: "tunnel.down"
        case .tunnelRefused: "tunnel.refused"
        case .fenceDown: "fence.down"
        case .fenceUp: "fence.up"
        case .offered: "lease.offered"
        case .erasing: "lease.erasing"
        case .erased: "lease.erased"
        case .eraseFailed: "lease.erase-failed"
        case .receiptKept: "receipt.kept"
        case .receiptFailed: "receipt.failed"
        case .vaultAsked: "vault.asked"
        case .vaultRefused: "vault.refused"
        case .vaultClosed: "vault.closed"
        case .vaultFailed: "vault.failed"
        case .lampFailed: "lamp.failed"
        case .lampMended: "lamp.mended"
        case .step: "step.done"
        }
    }

    /// Whether something is out of order until somebody mends it; no lease depends on it.
    public var isError: Bool { self == .configurationBad || self == .lampFailed }

    /// Whether an operator should look.
    public var isTrouble: Bool {
        switch self {
        case .configurationBad, .journalFailed, .journalUnreadable, .driveForeign, .registrationFailed, .registrationUseless,
            .checkInFailed, .answerRefused, .clockDoubted, .storageFailed, .storageUnencrypted, .storageStaysOpen, .engineDown,
            .containerDown, .tunnelDown, .tunnelRefused, .eraseFailed, .receiptFailed, .driveGone, .driveFailing, .driveOwed, .lookFailed,
            .fenceDown, .vaultRefused, .vaultFailed, .lampFailed:
            true
        default: false
        }
    }
}

/// An event to log, with what is worth knowing about it.
public struct Note: Equatable, Sendable {
    /// Which event.
    public let event: LogEvent
    /// Keys and values; never a secret.
    public let fields: [Field]

    /// A key and its value.
    public struct Field: Equatable, Sendable {
        /// The key.
        public let key: String
        /// The value.
        public let value: String
    }

    /// A note with up to a few fields.
    public init(_ event: LogEvent, _ fields: KeyValuePairs<String, String> = [:]) {
        self.event = event
        self.fields = fields.map { Field(key: $0.key, value: $0.value) }
    }
}
