/// What a look at a drive found. Looking changes nothing.
public struct Inspection: Equatable, Sendable {
    /// Whether we may format it.
    public enum Verdict: String, CaseIterable, Sendable {
        /// Nothing is at the path, and a file of the configured size may be made there.
        case absent
        /// No signature that libblkid knows, first and last MiB zero.
        case blank
        /// Our label on it.
        case ours
        /// Its owner gave it up: a file `ERASE-THIS-DRIVE` is in its root.
        case givenUp = "given-up"
        /// The lease that runs here lives on it.
        case inUse = "in-use"
        /// A step of ours is at work on it right now.
        case busy
        /// Anything else: not ours to erase.
        case foreign
        /// Never to be taken: the system's disk, mounted, held, read-only, too small, not a disk.
        case refused
        /// It could not be read, or not in time.
        case unreadable
        /// Nothing is there.
        case missing
    }

    /// The device node, or the file's path.
    public var path: String
    /// By what it is known for ever.
    public var identity: String
    /// Its size in bytes; 0 where it is missing.
    public var bytes: Int64
    /// The kernel's number of this appearance; nil for a file.
    public var sequence: Int64?
    /// Maker and model, for people.
    public var model: String
    /// Whether it hangs on USB.
    public var isUSB: Bool
    /// Whether we may format it.
    public var verdict: Verdict
    /// What was found, in words.
    public var reason: String
    /// What libblkid calls it; nil where it knows no signature on it.
    public var signature: String?
    /// The UUID of our volume on it; nil where it carries none.
    public var volume: String?

    /// A finding.
    public init(
        path: String, identity: String, bytes: Int64, sequence: Int64? = nil, model: String = "", isUSB: Bool = false, verdict: Verdict,
        reason: String, signature: String? = nil, volume: String? = nil
    ) {
        self.path = path
        self.identity = identity
        self.bytes = bytes
        self.sequence = sequence
        self.model = model
        self.isUSB = isUSB
        self.verdict = verdict
        self.reason = reason
        self.signature = signature
        self.volume = volume
    }

    /// A finding about a disk.
    public init(_ disk: Disk, _ verdict: Verdict, _ reason: String, signature: String? = nil, volume: String? = nil) {
        self.init(
            path: disk.node, identity: disk.identity, bytes: disk.bytes, sequence: disk.sequence, model: disk.model, isUSB: disk.isUSB,
            verdict: verdict, reason: reason, signature: signature, volume: volume)
    }

    /// The adoption rule: ours, blank, given up, or not made yet. Anything else only where its owner gives up all there is, or where the
    /// journal claims it and it looks as our own half-done work does: a drive that a power cut left half formatted or half erased has no
    /// signature, or a LUKS header without a label. A file system on it is somebody's who uses a dock or a reader of the same serial.
    public func mayBeTaken(claims: [String], adoptsAny: Bool) -> Bool {
        switch verdict {
        case .missing, .refused, .unreadable: false
        case .foreign: adoptsAny || claims.contains(identity) && (signature == nil || signature == "crypto_LUKS")
        // What is on it can't be seen now.
        case .busy: claims.contains(identity)
        case .absent, .blank, .ours, .givenUp, .inUse: true
        }
    }
}
