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
    var isPlugged = false

    init(_ drive: Drive) { self.drive = drive }
}
