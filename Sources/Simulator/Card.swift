import GovernorCore
import Protocol

/// A stick, and what lies on it.
final class Stick {
    /// What somebody with the stick in his hand would find.
    enum Content: Equatable {
        /// Nobody's, or half written.
        case unknown
        /// Erased, and that was verified.
        case clean
        /// Formatted for a lease; nothing of a renter is on it.
        case formatted(LeaseID)
        /// A renter's data.
        case lease(LeaseID)
    }

    let drive: Drive
    var content = Content.unknown
    /// The lease whose volume is on it, whatever became of the key.
    var isPlugged = false

    init(_ drive: Drive) { self.drive = drive }
}

/// The SD card: what is on it after a power cut is what was synced, and what was not is there, half there or lost.
struct Card {
    /// Where a file's replacement stands: write, fsync, rename, fsync of the folder (`Files.replace`).
    private enum Replacing { case written, synced, renamed, done }

    /// What a reader finds; nil where it is torn.
    private(set) var journal: Journal? = Journal()
    private var before: Journal? = Journal()
    private var replacing = Replacing.done
    private var isSynced = true
    /// Whose key the key file holds.
    var key: LeaseID?
    /// Receipts that the market has not confirmed, the oldest first.
    var receipts: [Receipt] = []

    /// Replaces the journal; false where the power went in the middle.
    mutating func replace(_ new: Journal, isCut: () -> Bool) -> Bool {
        before = journal
        isSynced = false
        replacing = .written
        if isCut() { return false }
        isSynced = true
        replacing = .synced
        if isCut() { return false }
        journal = new
        replacing = .renamed
        if isCut() { return false }
        replacing = .done
        return !isCut()
    }

    /// The power went: a rename that was not synced may be there or not, and a file that was not synced may be torn.
    mutating func lose(_ chance: inout Chance) {
        if replacing == .renamed {
            if chance.once(in: 2) { journal = before } else if !isSynced, chance.once(in: 2) { journal = nil }
        }
        replacing = .done
    }
}
