import Appliance
import GovernorCore
import JSON
import Platform

/// Where the state is written for others, all of it in RAM: status.json for `governor status`, and device-status.txt for the owner. The mark
/// beside that one says that it is new; who copies it to the card takes the mark away first (rootfs-overlay/usr/lib/sublet/device-status).
struct StatusFiles {
    private let layout: Layout
    /// What device-status.txt says now; nil where this program has not looked yet.
    private var told: [UInt8]?

    init(_ layout: Layout) { self.layout = layout }

    /// Writes both, the owner's only where its words change.
    mutating func publish(_ json: JSON, _ pattern: LampPattern) throws(SystemError) {
        try Files.publish(layout.statusPath, json.encoded())
        let text = DeviceStatus.text(version: version, lines: StatusCommand.lines(json, forOwner: pattern), pattern)
        // A program that starts again and again writes the same again and again.
        if told == nil { told = try Files.readIfPresent(layout.ownersTextPath, limit: 1 << 20) }
        guard text != told else { return }
        try Files.publish(layout.ownersTextPath, text)
        try Files.publish(layout.ownersMarkPath, [])
        told = text
    }

    /// A device that does not work, and why.
    mutating func publish(_ state: String, _ pattern: LampPattern, _ fault: String) {
        let json = JSON.object(Status.head(state, pattern) + [.init("fault", .string(fault))])
        // Without it `governor status` says less; the lamp and the log say it too.
        do throws(SystemError) { try publish(json, pattern) } catch { return }
    }
}
