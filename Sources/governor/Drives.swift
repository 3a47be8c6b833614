import CLinux
import EventLoop
import Platform
import Protocol
import Storage

/// What changed about the drives.
enum DriveNews {
    /// A drive may be used, from now on.
    case ready(Inspection)
    /// The drive that was ready is not there any more.
    case gone(identity: String, reason: String)
    /// A drive is there that is not taken, or the one that its owner named is not there; told once for each reason.
    case left(Inspection, reason: String)
    /// The drives could not be looked at; told once for each reason.
    case unseen(reason: String)
    /// The list of drives is another.
    case changed
}

/// Keeps an eye on the drives and chooses the one that is used.
///
/// udev's news is only a trigger: the truth is what a child of this program finds when it looks at all of them. It listens before the first
/// look, so nothing falls in between. One thing can't wait for that: the node of the drive in use going away is told at once.
final class Drives {
    /// What the choice must know of the core.
    struct Needs {
        /// The drives that the journal claims.
        var claims: [String]
        /// Those of them that are quarantined.
        var quarantined: [String] = []
        /// Whether the drive that is ready is being used: then no other takes its place.
        var isInUse: Bool
    }

    private let loop: EventLoop
    private let layout: Layout
    private let config: Config
    private let tell: (DriveNews) -> Void
    private var needs: () -> Needs = { Needs(claims: [], isInUse: false) }
    private let monitor: DriveMonitor?
    /// The drive that is ready, and the node that stands for it in udev's news.
    private var chosen: (drive: Inspection, node: String)?
    /// The drives that are not taken, and why.
    private(set) var left: [Selection.Left] = []
    private var told: [Told] = []
    private var toldReason: String?
    /// Why the last look at all drives failed; nil where it did not.
    private var blindness: String?
    private var isLooking = false
    private var isWantedAgain = false
    /// Whether the look that is under way began before the drive in use was pulled: it may have seen it still.
    private var isOutdated = false
    private var next: (moment: Int64, timer: EventLoop.Token)?

    private struct Told: Equatable {
        let path: String
        let identity: String
        let reason: String
    }

    /// Milliseconds from the first news to the look: a stick with four partitions is five pieces of news.
    private static let settling: Int64 = 300
    /// Milliseconds that a look at all drives may take; each drive has a limit of its own within it.
    private static let longestLook: Int64 = 90_000

    init(loop: EventLoop, layout: Layout, config: Config, tell: @escaping (DriveNews) -> Void) {
        self.loop = loop
        self.layout = layout
        self.config = config
        self.tell = tell
        do throws(SystemError) { monitor = try DriveMonitor() } catch { monitor = nil }
    }

    /// Why no drive is ready; nil where one is.
    var reason: String? {
        if chosen != nil { return nil }
        if let blindness { return "the drives can't be looked at: " + blindness }
        guard let worst = left.min(by: { Self.weight($0.drive.verdict) < Self.weight($1.drive.verdict) }) else {
            return "no USB drive is plugged in"
        }
        return worst.reason
    }

    /// What its owner should read first.
    private static func weight(_ verdict: Inspection.Verdict) -> Int {
        switch verdict {
        case .foreign: 0
        case .unreadable: 1
        case .missing: 2
        default: 3
        }
    }

    /// Begins to look, and to listen.
    func start(_ needs: @escaping () -> Needs) {
        self.needs = needs
        if let descriptor = monitor?.descriptor { loop.watch(descriptor) { [self] _ in hear() } }
        look()
    }

    private func hear() {
        let news = monitor?.receive() ?? []
        if let chosen, news.contains(where: { $0.isGone && $0.node == chosen.node }) {
            forget("it was unplugged")
            isOutdated = isLooking
            tell(.changed)
        }
        // News of mappings and loop devices is about our own work, or somebody else's; a look at every one would never end.
        let ours = [chosen?.node, config.drive.path.map { Files.resolved($0) }]
        if news.isEmpty || news.contains(where: { !$0.isVirtual || ours.contains($0.node) }) { look(in: Self.settling) }
    }

    /// The first of several says when: news that never ends must not put the look off for ever.
    private func look(in milliseconds: Int64) {
        let moment = Clock.bootNanoseconds() + milliseconds * 1_000_000
        if let next, next.moment <= moment { return }
        loop.cancel(next?.timer)
        next = (moment, loop.at(moment) { [self] in look() })
    }

    /// Looks at all drives now, or once more when the look that is under way has ended.
    func look() {
        loop.cancel(next?.timer)
        next = nil
        guard !isLooking else {
            isWantedAgain = true
            return
        }
        isLooking = true
        var limit: EventLoop.Token?
        let child = loop.run(Command([Invocation.programPath(), "storage", "list", "--json"] + layout.arguments)) { [self] outcome in
            loop.cancel(limit)
            isLooking = false
            if !isOutdated { take(InspectionText.readList(outcome)) }
            isOutdated = false
            if isWantedAgain { look(in: Self.settling) } else if let pause { look(in: pause) }
            isWantedAgain = false
        }
        limit = loop.after(milliseconds: Self.longestLook) { [self] in loop.signal(child, SIGKILL) }
    }

    /// When to look again without news, milliseconds: what makes a drive free again (an unmount, a wipe of a file) is not always told.
    private var pause: Int64? {
        if chosen != nil { return monitor == nil ? 5_000 : nil }
        let isSlow = config.drive.path == nil && monitor != nil && blindness == nil && !left.contains { $0.drive.verdict == .busy }
        return isSlow ? 30_000 : 5_000
    }

    private func take(_ looked: Result<[Inspection], World.Trouble>) {
        let before = left
        switch looked {
        case .success(let found):
            blindness = nil
            take(found)
        case .failure(let trouble):
            if trouble.reason != blindness { tell(.unseen(reason: trouble.reason)) }
            blindness = trouble.reason
        }
        if left != before || reason != toldReason { tell(.changed) }
        toldReason = reason
    }

    private func take(_ looked: [Inspection]) {
        var found = looked
        if let chosen {
            for index in found.indices where Self.isSame(found[index], chosen.drive) { found[index].identity = chosen.drive.identity }
        }
        if let chosen, !found.contains(where: { Self.isSame($0, chosen.drive) }) { forget("it is not there any more") }
        let needs = needs()
        let selection = Selection(
            found, claims: needs.claims, quarantined: needs.quarantined, chosen: chosen?.drive.identity, adoptsAny: config.drive.adoptsAny)
        if !keepsChosen(beside: selection.taken, needs), let taken = selection.taken, taken.identity != chosen?.drive.identity {
            choose(taken)
        }
        left = selection.left.filter { isOfInterest($0.drive) && $0.drive.path != chosen?.drive.path }
        tellOfLeft()
    }

    /// Whether the drive that is ready stays the one: while it is used, and else unless the journal claims another, or it is quarantined.
    private func keepsChosen(beside taken: Inspection?, _ needs: Needs) -> Bool {
        guard let chosen else { return false }
        guard !needs.isInUse, let taken else { return true }
        return !needs.claims.contains(taken.identity) && !needs.quarantined.contains(chosen.drive.identity)
    }

    private static func isSame(_ found: Inspection, _ chosen: Inspection) -> Bool {
        guard found.path == chosen.path, found.verdict != .missing else { return false }
        // The kernel's number tells one plugging in from the next; what has none is known by its name.
        return found.sequence == chosen.sequence && (found.sequence != nil || found.identity == chosen.identity)
    }

    private func choose(_ drive: Inspection) {
        chosen = (drive, Files.resolved(drive.path))
        tell(.ready(drive))
    }

    private func forget(_ reason: String) {
        guard let gone = chosen else { return }
        chosen = nil
        tell(.gone(identity: gone.drive.identity, reason: reason))
    }

    /// The machine's own disks and the empty slots of a card reader are nobody's business, unless its owner named one.
    private func isOfInterest(_ drive: Inspection) -> Bool {
        if let path = config.drive.path { return drive.path == path }
        return drive.isUSB && drive.verdict != .missing
    }

    private func tellOfLeft() {
        let now = left.map { Told(path: $0.drive.path, identity: $0.drive.identity, reason: $0.reason) }
        for (place, entry) in now.enumerated() where !told.contains(entry) && !left[place].isSpare {
            tell(.left(left[place].drive, reason: entry.reason))
        }
        told = now
    }
}
