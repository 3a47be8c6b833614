/// An HTTP request.
public struct HTTPRequest {
    /// `GET`, `POST`, …
    public var method: String
    /// The whole address; with a socket path the host part is only a name.
    public var url: String
    /// A unix socket to speak through instead of TCP.
    public var socketPath: String?
    /// Header lines, `Name: value`.
    public var headers: [String]
    /// The body, or nil for none.
    public var body: [UInt8]?
    /// A file to send as the body, read while sending.
    public var bodyFile: String?
    /// Seconds until the whole exchange is given up; 0 for never (a wait that ends when something happens).
    public var timeoutSeconds: Int
    /// The longest answer body in bytes; a longer one fails the transfer.
    public var answerLimit: Int
    /// Called with sent and total bytes of `bodyFile` as they go.
    public var progress: ((Int64, Int64) -> Void)?

    /// A request.
    public init(_ method: String, _ url: String, socketPath: String? = nil) {
        self.method = method
        self.url = url
        self.socketPath = socketPath
        headers = []
        timeoutSeconds = 60
        answerLimit = 1 << 20
    }
}

/// An HTTP answer.
public struct HTTPAnswer {
    /// The status code (RFC 9110).
    public let status: Int
    /// The header lines as they came, without the status line.
    public let headerLines: [String]
    /// The body.
    public let body: [UInt8]

    /// The value of a header by its name in any case; the last one where there are several.
    public func header(_ name: String) -> String? {
        let wanted = lowercased(name)
        for line in headerLines.reversed() {
            guard let colon = line.utf8.firstIndex(of: UInt8(ascii: ":")) else { continue }
            if lowercased(String(line[..<colon])) == wanted {
                let value = line.utf8[line.utf8.index(after: colon)...]
                return String(decoding: value.drop { $0 == 0x20 || $0 == 0x09 }, as: UTF8.self)
            }
        }
        return nil
    }
}

/// ASCII letters in lower case.
func lowercased(_ text: String) -> String {
    String(decoding: text.utf8.map { (0x41...0x5A).contains($0) ? $0 + 32 : $0 }, as: UTF8.self)
}

/// Why a transfer brought no answer: libcurl's code and words.
public struct TransferError: Error, Equatable, Sendable {
    /// A CURLcode, or -1 where the answer was too long.
    public let code: Int32
    /// What happened.
    public let message: String

    /// An error.
    public init(code: Int32, message: String) {
        self.code = code
        self.message = message
    }
}
