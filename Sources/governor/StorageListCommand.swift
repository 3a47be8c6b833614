import CLinux
import Commands
import EventLoop
import JSON
import Platform
import Protocol
import Storage

/// `governor storage list`: every whole disk, what is on it, and whether it would be taken. Changes nothing.
///
/// What no look is needed for comes from sysfs. The others are looked at side by side, each by a child, for a bad stick can keep a reader
/// for ever: after a while that child is ended, or left to the kernel, and its drive is said to be unreadable.
enum StorageListCommand {
    /// How long a drive may take to answer, milliseconds. A spun-down disk needs some ten seconds.
    private static let patience: Int64 = 30_000

    static func run(_ options: Options) throws(CommandFailure) {
        let layout = Layout(options)
        let config = try layout.config()
        let known = KnownDrivesFile.read(layout.knownDrivesPath)
        let found = KnownDrive.recognize(try lookAtAll(layout, config), known)
        if options.has("--json") {
            return Terminal.print(String(decoding: JSON.array(found.map { InspectionText.json($0) }).encoded(), as: UTF8.self))
        }
        if found.isEmpty { Terminal.print("no disk is there") }
        for drive in found { Terminal.print(line(drive)) }
    }

    private static func line(_ drive: Inspection) -> String {
        let model = drive.model.isEmpty ? "" : ", " + drive.model
        let volume = drive.volume.map { ", volume " + $0 } ?? ""
        return drive.path + "  \(drive.bytes >> 20) MiB" + model + "  " + drive.identity + volume + "\n    " + drive.verdict.rawValue + ": "
            + drive.reason
    }

    private static func lookAtAll(_ layout: Layout, _ config: Config) throws(CommandFailure) -> [Inspection] {
        var found = try triaged(layout, config)
        let waiting = found.indices.filter { found[$0].verdict == .busy }
        guard !waiting.isEmpty else { return found }
        try system(otherwise: .failed) { () throws(SystemError) in
            let loop = try EventLoop()
            var left = waiting.count
            for index in waiting {
                look(at: found[index], loop, layout) { answer in
                    found[index] = answer
                    left -= 1
                    if left == 0 { loop.stop() }
                }
            }
            try loop.run()
        }
        return found
    }

    /// All disks; those that must be looked at are `busy` until then.
    private static func triaged(_ layout: Layout, _ config: Config) throws(CommandFailure) -> [Inspection] {
        let finder = layout.finder(config)
        do throws(StorageError) {
            var found: [Inspection] = []
            if let path = config.drive.path {
                // A file that is not made yet is no disk.
                let disk = try finder.disk(at: path)
                found.append(
                    disk.map { triage($0, layout.rule(config, for: path)) }
                        ?? Inspect.look(at: path, finder, layout.rule(config, for: path)))
            }
            for disk in try finder.disks() where !found.contains(where: { $0.sequence != nil && $0.sequence == disk.sequence }) {
                found.append(config.drive.path == nil ? triage(disk, layout.rule(config, for: disk.node)) : passedOver(disk))
            }
            return found
        } catch { throw CommandFailure(.failed, "storage list: " + error.message) }
    }

    private static func triage(_ disk: Disk, _ rule: Inspect.Rule) -> Inspection {
        Inspect.triage(disk, rule) ?? Inspection(disk, .busy, "")
    }

    private static func passedOver(_ disk: Disk) -> Inspection { Inspection(disk, .refused, "\"storage.path\" names another") }

    private static func look(
        at drive: Inspection, _ loop: EventLoop, _ layout: Layout, _ completion: @escaping (Inspection) -> Void
    ) {
        var unread = drive
        unread.verdict = .unreadable
        var isOver = false
        func finish(_ answer: Inspection) {
            guard !isOver else { return }
            isOver = true
            completion(answer)
        }
        let arguments = [Invocation.programPath(), "storage", "inspect", drive.path, "--json"] + layout.arguments
        let token = loop.run(Command(arguments)) { outcome in
            unread.reason = outcome.reason
            finish((try? JSON.parse(outcome.output)).flatMap { InspectionText.read($0) } ?? unread)
        }
        loop.after(milliseconds: patience) {
            guard !isOver else { return }
            loop.signal(token, SIGKILL)
            unread.reason = "no answer within \(patience / 1_000) s"
            finish(unread)
        }
    }
}
