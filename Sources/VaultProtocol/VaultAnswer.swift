/// What is known of a vault.
public enum VaultState: UInt8, CaseIterable, Sendable {
    /// There is none.
    case none = 0
    case closed = 1
    case open = 2

    /// The word for programs.
    public var word: String {
        switch self {
        case .none: "none"
        case .closed: "closed"
        case .open: "open"
        }
    }
}

/// What the governor answers: any number of `progress`, then one `done` or `failed`. Version, kind, reason, state, two numbers of 8 bytes, and
/// to the end of the frame a sentence.
public struct VaultAnswer: Equatable, Sendable {
    /// What sort of answer.
    public enum Kind: UInt8, CaseIterable, Sendable {
        /// Goes on; `size` is how much there is to do, `used` how much is done.
        case progress = 1
        case done = 2
        case failed = 3
    }

    /// Why it failed. The words stand in the governor's log.
    public enum Reason: UInt8, CaseIterable, Sendable {
        case none = 0
        case wrongPassphrase = 1
        case notPermitted = 2
        /// Another request is at work.
        case busy = 3
        /// Too many wrong passphrases: not now.
        case paused = 4
        /// There is a vault already.
        case exists = 5
        /// There is no vault.
        case missing = 6
        /// Something in the renter's machine uses it.
        case inUse = 7
        case noRoom = 8
        /// The device's kernel can't.
        case unsupported = 9
        case badMessage = 10
        case failed = 11

        /// The word in the log.
        public var word: String {
            switch self {
            case .none: "done"
            case .wrongPassphrase: "wrong-passphrase"
            case .notPermitted: "not-permitted"
            case .busy: "busy"
            case .paused: "paused"
            case .exists: "exists"
            case .missing: "missing"
            case .inUse: "in-use"
            case .noRoom: "no-room"
            case .unsupported: "unsupported"
            case .badMessage: "bad-message"
            case .failed: "failed"
            }
        }
    }

    /// What sort of answer.
    public let kind: Kind
    /// Why it failed, `none` where it did not.
    public let reason: Reason
    /// How the vault is, after `done`.
    public let state: VaultState
    /// Bytes of the whole vault.
    public let size: Int64
    /// Bytes that its files take; 0 while it is closed.
    public let used: Int64
    /// A sentence for the renter, at most 1 KiB.
    public let text: String

    private static let fixedBytes = 20
    private static let longestText = 1_024

    /// An answer; a sentence that is too long is cut.
    public init(_ kind: Kind, reason: Reason = .none, state: VaultState = .none, size: Int64 = 0, used: Int64 = 0, text: String = "") {
        self.kind = kind
        self.reason = reason
        self.state = state
        self.size = size
        self.used = used
        self.text = text.utf8.count <= Self.longestText ? text : String(decoding: Array(text.utf8.prefix(Self.longestText)), as: UTF8.self)
    }

    /// The frame, length included.
    public func frame() -> [UInt8] {
        let sentence = Array(text.utf8.prefix(Self.longestText))
        let fixed = [VaultWire.version, kind.rawValue, reason.rawValue, state.rawValue] + bigEndian(size, 8) + bigEndian(used, 8)
        return bigEndian(Int64(fixed.count + sentence.count), 4) + fixed + sentence
    }

    /// Reads a frame (without its length) strictly. Control characters in the sentence, which could do things to a terminal, become `?`.
    public init(_ frame: [UInt8]) throws(VaultWireError) {
        guard frame.first == VaultWire.version else {
            throw VaultWireError("expected version \(VaultWire.version) of the vault's messages")
        }
        guard frame.count >= Self.fixedBytes, frame.count <= Self.fixedBytes + Self.longestText, let kind = Kind(rawValue: frame[1]),
            let reason = Reason(rawValue: frame[2]), let state = VaultState(rawValue: frame[3]), (kind == .failed) == (reason != .none)
        else { throw VaultWireError("an answer that makes no sense") }
        self.kind = kind
        self.reason = reason
        self.state = state
        size = frame[4..<12].reduce(0) { $0 << 8 | Int64($1) }
        used = frame[12..<20].reduce(0) { $0 << 8 | Int64($1) }
        text = String(decoding: frame[Self.fixedBytes...].map { $0 < 0x20 || $0 == 0x7F ? 0x3F : $0 }, as: UTF8.self)
        guard size >= 0, used >= 0 else { throw VaultWireError("an answer with a negative number") }
    }
}
