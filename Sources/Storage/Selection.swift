/// Which drive is taken, and why the others are not. Pure: from what a look found to what is to be done.
public struct Selection: Equatable, Sendable {
    /// A drive that is not taken, and why.
    public struct Left: Equatable, Sendable {
        /// The drive.
        public let drive: Inspection
        /// Why, in words for its owner.
        public let reason: String
        /// Whether it is only not needed: nothing is wrong with it.
        public let isSpare: Bool
    }

    /// The drive that is taken.
    public let taken: Inspection?
    /// The others.
    public let left: [Left]

    /// The drive of the running lease wins, then one that the journal claims (in that order), then the one chosen before, then the largest.
    /// A quarantined one is taken only where there is no other.
    public init(_ found: [Inspection], claims: [String], quarantined: [String] = [], chosen: String?, adoptsAny: Bool) {
        let twins = Self.twins(found)
        func mayBeTaken(_ drive: Inspection) -> Bool {
            !twins.contains(drive.identity) && drive.mayBeTaken(claims: claims, adoptsAny: adoptsAny)
        }
        func rank(_ drive: Inspection) -> Int {
            if drive.verdict == .inUse { return 0 }
            if quarantined.contains(drive.identity) { return 2_000 }
            if let place = claims.firstIndex(of: drive.identity) { return 1 + place }
            return drive.identity == chosen ? 1_000 : 1_001
        }
        let index = found.indices.filter { found[$0].verdict == .inUse || mayBeTaken(found[$0]) }.min { one, other in
            let (first, second) = (found[one], found[other])
            if rank(first) != rank(second) { return rank(first) < rank(second) }
            // Of two of one size always the same, whatever names they have today.
            return first.bytes == second.bytes ? first.identity < second.identity : first.bytes > second.bytes
        }
        let taken = index.map { found[$0] }
        self.taken = taken
        left = found.indices.filter { $0 != index }.map { place in
            let drive = found[place]
            if twins.contains(drive.identity) {
                return Left(drive: drive, reason: "another drive says that it is the same: " + drive.identity, isSpare: false)
            }
            guard mayBeTaken(drive) else { return Left(drive: drive, reason: Self.words(drive), isSpare: false) }
            return Left(drive: drive, reason: "not needed beside " + (taken?.path ?? "another"), isSpare: true)
        }
    }

    private static func words(_ drive: Inspection) -> String {
        guard drive.verdict == .foreign else { return drive.reason }
        return drive.reason + ": not ours to erase, unless you put an empty file " + GivenUp.name + " on it or set \"adopt\": \"any\""
    }

    /// Identities that more than one drive claims to have. Which of them is meant can't be known, so none is touched.
    private static func twins(_ found: [Inspection]) -> Set<String> {
        var seen: Set<String> = []
        var twice: Set<String> = []
        for drive in found where drive.verdict != .missing && !seen.insert(drive.identity).inserted { twice.insert(drive.identity) }
        return twice
    }
}

/// A drive that we gave a volume to: by this a drive without a serial is known again in another socket, and one of two with the same serial.
public struct KnownDrive: Equatable, Sendable {
    /// By what it is known for ever.
    public let identity: String
    /// The UUID of the volume.
    public let volume: String

    /// A drive.
    public init(identity: String, volume: String) {
        self.identity = identity
        self.volume = volume
    }

    /// How many are remembered.
    public static let most = 32

    /// The list with another one, the newest last; a drive has one volume.
    public static func remembering(_ drive: KnownDrive, in known: [KnownDrive]) -> [KnownDrive] {
        Array((known.filter { $0.identity != drive.identity && $0.volume != drive.volume } + [drive]).suffix(most))
    }

    /// Gives each drive that carries a known volume the identity under which that volume was made. Of several that then have the same, the
    /// one that carries the volume keeps it; the others are said to be strangers with the same name.
    public static func recognize(_ found: [Inspection], _ known: [KnownDrive]) -> [Inspection] {
        var result = found
        for drive in known {
            let carriers = result.indices.filter { result[$0].volume == drive.volume }
            // A copy carries it too; the original has the serial as well.
            let own = carriers.filter { result[$0].identity == drive.identity }
            guard let one = own.count == 1 ? own.first : carriers.count == 1 ? carriers.first : nil else { continue }
            result[one].identity = drive.identity
            for other in result.indices where other != one && result[other].identity == drive.identity {
                result[other].verdict = .refused
                result[other].reason = "another drive of the same serial is in use: " + drive.identity
                result[other].identity += "#\(other)"
            }
        }
        return result
    }
}
