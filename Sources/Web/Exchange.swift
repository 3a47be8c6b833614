import CMicrohttpd

/// One request, as a handler sees it.
public struct WebRequest {
    /// `GET`, `POST`, …
    public let method: String
    /// The path, percent-decoded, without the query.
    public let path: String
    /// Whether the target had a query.
    public let hasQuery: Bool
    /// The body, whole.
    public let body: [UInt8]
    let connection: OpaquePointer

    /// The value of a header, whatever the case of its name; nil where it is absent. Only during the call that got this request.
    public func header(_ name: StaticString) -> String? {
        name.withUTF8Buffer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { name in
                cmicrohttpd_header(connection, name.baseAddress).map { String(cString: $0) }
            }
        }
    }
}

/// One answer.
public struct WebAnswer: Equatable, Sendable {
    /// The HTTP status.
    public var status: Int
    /// Headers beside those that the server writes by itself.
    public var headers: [Header]
    /// The body.
    public var body: [UInt8]
    /// Whether it must not leave before the round's writes are durable.
    public var waitsForCommit: Bool
    /// What the handler wants to know of the request should the writes be lost.
    public var context: [UInt8] = []

    /// A header's name and value.
    public struct Header: Equatable, Sendable {
        /// The name.
        public let name: String
        /// The value.
        public let value: String

        /// A header.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// An answer.
    public init(status: Int, headers: [Header], body: [UInt8], waitsForCommit: Bool) {
        self.status = status
        self.headers = headers
        self.body = body
        self.waitsForCommit = waitsForCommit
    }
}

/// What answers requests.
public protocol WebHandler: AnyObject {
    /// A round of requests begins.
    func beginRound()
    /// Answers a request. It may write; what it wrote is durable only after `endRound`.
    func answer(_ request: WebRequest) -> WebAnswer
    /// Makes what the round wrote durable; false where that failed, and nothing of it was kept.
    func endRound() -> Bool
    /// The answer in the place of one whose writes were not kept.
    func lost(_ answer: WebAnswer) -> WebAnswer
    /// The answer to a request that is refused before it was read whole: a body over the limit.
    func tooLarge() -> WebAnswer
    /// Called between rounds, at the latest after `tickMilliseconds`.
    func tick()
}

/// What is known of a request between libmicrohttpd's calls about it.
final class Exchange {
    /// The body so far.
    var body: [UInt8] = []
    /// Bytes of the body that came in, also those beyond the limit.
    var received = 0
    /// The answer, once there is one.
    var answer: WebAnswer?
    /// CLOCK_BOOTTIME nanoseconds when its headers were there.
    let began: Int64

    init(began: Int64) { self.began = began }
}
