import GovernorCore
import Protocol

/// The SD card: what is on it after a power cut is what was synced, and what was not is there, half there or lost.
struct Card {
    /// What a reader finds; nil where it is torn.
    private(set) var journal: Journal? = Journal()
    private var before: Journal? = Journal()
    private var isFileSynced = true
    private var isFolderSynced = true
    /// Whose key the key file holds.
    var key: LeaseID?
    /// Receipts that the market has not confirmed, the oldest first.
    var receipts: [Receipt] = []

    /// Replaces the journal as `Files.replace` does: write, fsync, rename, fsync of the folder. False where the power went in the middle.
    mutating func replace(_ new: Journal, isCut: () -> Bool) -> Bool {
        before = journal
        isFileSynced = false
        if isCut() { return false }
        isFileSynced = true
        if isCut() { return false }
        journal = new
        isFolderSynced = false
        if isCut() { return false }
        isFolderSynced = true
        return !isCut()
    }

    /// The power went: a rename that was not synced may be there or not, and a file that was not synced may be torn.
    mutating func lose(_ chance: inout Chance) {
        if !isFolderSynced {
            if chance.once(in: 2) { journal = before } else if !isFileSynced, chance.once(in: 2) { journal = nil }
        }
        isFolderSynced = true
    }
}
