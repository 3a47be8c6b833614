import JSON

/// `POST …/waiting`: a device lives, has no lease, and tells why it asks for none.
public struct WaitRequest: Equatable, Sendable {
    /// The longest reason, bytes.
    public static let longest = 256

    /// What it waits for, in words for its owner: printable ASCII, 1 to 256 bytes.
    public var reason: String

    /// A request. What can't be sent of the reason is replaced, what is too long is cut off.
    public init(reason: String) {
        let bytes = reason.utf8.prefix(Self.longest).map { $0 >= 0x20 && $0 < 0x7F ? $0 : UInt8(ascii: "?") }
        self.reason = bytes.isEmpty ? "?" : String(decoding: bytes, as: UTF8.self)
    }

    /// Reads the body strictly.
    public init(_ json: JSON) throws(JSONError) {
        var reader = try ObjectReader(json)
        reason = try reader.plain("reason", 1...Self.longest)
        try reader.finish()
    }

    /// The body.
    public var json: JSON { .object([.init("reason", .string(reason))]) }
}

/// The answer to `waiting`.
public struct WaitAnswer: Equatable, Sendable {
    /// The market's clock.
    public var time: UnixTime
    /// Seconds until the device tells again that it waits.
    public var checkInSeconds: Int64

    /// An answer.
    public init(time: UnixTime, checkInSeconds: Int64) {
        self.time = time
        self.checkInSeconds = checkInSeconds
    }

    /// Reads the body strictly.
    public init(_ json: JSON) throws(JSONError) {
        var reader = try ObjectReader(json)
        time = try reader.time("time")
        checkInSeconds = try reader.integer("checkInSeconds", 1...86_400)
        try reader.finish()
    }

    /// The body.
    public var json: JSON { .object([.init("time", .integer(time.seconds)), .init("checkInSeconds", .integer(checkInSeconds))]) }
}
