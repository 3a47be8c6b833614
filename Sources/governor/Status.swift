import Commands
import EventLoop
import GovernorCore
import JSON
import Lamp
import Platform
import Protocol
import Storage

/// What `governor status` shows: written by the running governor into RAM at every change, read by the command.
struct Status {
    let json: JSON

    init(shell: Shell) {
        let core = shell.core
        var members = Self.head(core.word, core.lamp) + [.init("rented", .bool(core.journal.rented))]
        func add(_ key: String, _ value: String?) { if let value { members.append(.init(key, .string(value))) } }
        add("lease", core.journal.lease?.text)
        if let expires = core.journal.expires { members.append(.init("expires", .integer(expires.seconds))) }
        add("drive", core.drive?.identity)
        add("drivePath", core.drive == nil ? nil : shell.world.drive?.path)
        if let drives = shell.drives {
            add("driveReason", drives.reason)
            members.append(.init("drivesLeft", .array(drives.left.prefix(16).map { Self.json($0) })))
        }
        add("quarantineReason", core.quarantineReason)
        add("encryption", shell.config.drive.encryption.rawValue)
        if let tenancy = core.tenancy {
            add("container", tenancy.containerIsUp ? "up" : "down")
            add("tunnel", tenancy.tunnel.rawValue)
            members.append(.init("sshPort", .integer(tenancy.target.ports.ssh)))
            add("fault", tenancy.toldFault)
        }
        if !core.journal.owed.isEmpty {
            let owed = core.journal.owed.map { erase in
                JSON.object([.init("drive", .string(erase.drive)), .init("quarantined", .bool(erase.failed))])
            }
            members.append(.init("owed", .array(owed)))
        }
        add("lampFault", shell.lamp?.trouble)
        if let progress = shell.progress {
            var inner: [JSON.Member] = [.init("step", .string(progress.step)), .init("percent", .integer(progress.percent))]
            if let rate = progress.rate {
                inner.append(.init("bytesPerSecond", .integer(rate.bytesPerSecond)))
                inner.append(.init("secondsLeft", .integer(rate.secondsLeft)))
            }
            members.append(.init("progress", .object(inner)))
        }
        add("marketFault", core.lamp == .two ? shell.marketFault : nil)
        members.append(.init("marketFailures", .integer(Int64(core.marketFailures))))
        members.append(.init("wakeUps", .integer(Int64(shell.loop.wakeUps))))
        json = .object(members)
    }

    /// What stands in every status: who says it, the state and the lamp.
    static func head(_ state: String, _ lamp: LampPattern) -> [JSON.Member] {
        [
            .init("version", .string(version)), .init("pid", .integer(Int64(ProcessIdentity.ours.pid))),
            .init("startTicks", .integer(Int64(ProcessIdentity.ours.startTicks))), .init("state", .string(state)),
            .init("lamp", .string(lamp.rawValue)), .init("lampMeaning", .string(lamp.meaning)),
        ]
    }

    /// A drive that is not taken.
    private static func json(_ left: Selection.Left) -> JSON {
        .object([
            .init("path", .string(left.drive.path)), .init("identity", .string(left.drive.identity)),
            .init("bytes", .integer(left.drive.bytes)), .init("verdict", .string(left.drive.verdict.rawValue)),
            .init("reason", .string(left.reason)),
        ])
    }
}

/// `governor status [--json]`.
enum StatusCommand {
    static func run(_ options: Options) throws(CommandFailure) {
        let asJSON = options.has("--json")
        guard let json = running(Layout(options)) else {
            if asJSON { Terminal.print("{\"state\":\"not running\",\"lamp\":\"dark\"}") }
            throw CommandFailure(.unavailable, "not running")
        }
        if asJSON { return Terminal.print(json.pretty()) }
        for line in lines(json, forOwner: nil) { Terminal.print(line) }
    }

    /// What a governor that runs has written; nil where none does.
    private static func running(_ layout: Layout) -> JSON? {
        guard let bytes = try? Files.read(layout.statusPath, limit: 65_536), let json = try? JSON.parse(bytes),
            let pid = json["pid"]?.whole, let ticks = json["startTicks"]?.whole,
            ProcessIdentity(pid: Int32(truncatingIfNeeded: pid), startTicks: UInt64(max(0, ticks))).isAlive
        else { return nil }
        return json
    }

    /// The status in words. For the owner's file the lamp is told by its looks, and what changes by itself is left out.
    static func lines(_ json: JSON, forOwner pattern: LampPattern?) -> [String] {
        func text(_ key: String) -> String? {
            switch json[key] {
            case .string(let value)?: value
            case .integer(let value)?: "\(value)"
            default: nil
            }
        }
        var lines: [String] = []
        func show(_ label: String, _ value: String?) {
            guard let value else { return }
            var padded = label
            while padded.utf8.count < 12 { padded += " " }
            lines.append(padded + value)
        }
        show("state", text("state"))
        show("lamp", pattern.map { $0.look + ": " + $0.meaning } ?? text("lamp").map { $0 + " (" + (text("lampMeaning") ?? "") + ")" })
        show("no lamp", text("lampFault"))
        show("lease", text("lease"))
        show("expires", json["expires"]?.whole.map { utcText($0) })
        show("drive", text("drive").map { $0 + (text("drivePath").map { " (" + $0 + ")" } ?? "") } ?? text("driveReason"))
        if case .array(let left)? = json["drivesLeft"] {
            for drive in left {
                let size = drive["bytes"]?.whole.map { " (\($0 >> 20) MiB)" } ?? ""
                show("not taken", (drive["path"]?.text ?? "") + size + ": " + (drive["reason"]?.text ?? ""))
            }
        }
        show("encryption", text("encryption").map { $0 == "none" ? "NONE: anyone who holds the drive can read it" : $0 })
        show("container", text("container"))
        show("tunnel", text("tunnel").map { $0 + (text("sshPort").map { ", ssh port " + $0 } ?? "") })
        show("market", text("marketFault"))
        show("fault", text("fault"))
        show("quarantine", text("quarantineReason"))
        for erase in json["owed"]?.elements ?? [] {
            let why = erase["quarantined"]?.truth == true ? "quarantined: its erase failed" : "to be erased when it is back"
            show("owed", erase["drive"]?.text.map { $0 + " (" + why + ")" })
        }
        if pattern == nil, let progress = json["progress"], let step = progress["step"]?.text, let percent = progress["percent"]?.whole {
            let left = progress["secondsLeft"]?.whole.map { ", \($0) s left" } ?? ""
            show("working", step + " \(percent) %" + left)
        }
        return lines
    }
}
