import CLinux
import Commands
import GovernorCore
import JSON
import Platform
import Protocol
import Storage

/// `governor storage list | inspect | prepare | open | close | erase | verify`: each step of a drive, for the governor and for a tester's hands.
struct StorageCommand {
    private let word: String
    private let options: Options
    private let layout: Layout
    private let config: Config

    /// The steps that name a drive by its path, or take the one in device-config.json.
    private static let steps = ["inspect", "prepare", "open", "close", "erase", "verify"]

    static func run(_ options: Options) throws(CommandFailure) {
        let word = options.words.first ?? ""
        if word == "list", options.words.count == 1 { return try StorageListCommand.run(options) }
        guard steps.contains(word) else {
            throw CommandFailure(.usage, "storage: expected list, inspect, prepare, open, close, erase or verify, found \"" + word + "\"")
        }
        let layout = Layout(options)
        try StorageCommand(word: word, options: options, layout: layout, config: try layout.config()).run()
    }

    private func run() throws(CommandFailure) {
        let path = try drivePath()
        if word == "inspect" { return try show(look(at: path)) }
        guard Invocation.isRoot else { throw CommandFailure(.notPermitted, "storage " + word + ": must be root") }
        let lock = try carried { () throws(StorageError) in try takeLock() }
        if word == "close" {
            try carried { () throws(StorageError) in try layout.volume(config, at: path, identity: "").close() }
        } else {
            try work(path)
        }
        _ = lock.raw
    }

    /// What was named on the command line, else in device-config.json; to close, else the drive that is open.
    private func drivePath() throws(CommandFailure) -> String {
        if options.words.count > 1 { return options.words[1] }
        if let path = config.drive.path { return path }
        guard word == "close" else {
            throw CommandFailure(.usage, "storage " + word + ": name the drive; governor storage list shows what there is")
        }
        let disks = try carried { () throws(StorageError) in try layout.finder(config).disks() }
        return disks.first { $0.carriesLease }?.node ?? ""
    }

    private func look(at path: String) -> Inspection {
        let found = Inspect.look(at: path, layout.finder(config), layout.rule(config, for: path))
        return KnownDrive.recognize([found], KnownDrivesFile.read(layout.knownDrivesPath)).first ?? found
    }

    /// Prepares, opens, erases or verifies what is at a path, if it is still the drive that was meant and may be touched.
    private func work(_ path: String) throws(CommandFailure) {
        let found = try meant(path)
        if word == "prepare" || word == "erase" { try askBefore(found) }
        let grip = try hold(found)
        let volume = layout.volume(config, at: path, identity: found.identity)
        switch word {
        case "prepare": try carried { () throws(StorageError) in try volume.prepare(teller()) }
        case "open": try carried { () throws(StorageError) in try volume.open() }
        case "verify":
            let checks = try carried { () throws(StorageError) in try volume.verifyErased(config.drive.erase, teller()) }
            print(.object([.init("checks", .array(checks.map { .string($0) }))]))
        default:
            let report = try carried { () throws(StorageError) in
                try volume.erase(config.drive.erase, probing: options.has("--probe"), teller())
            }
            print(report.json)
        }
        if word == "prepare" || word == "open" { try remember(found) }
        _ = grip
    }

    /// What is at the path, once nobody else looks at it; an error where it is not the drive that `--drive` names: names are used again.
    private func meant(_ path: String) throws(CommandFailure) -> Inspection {
        var found = look(at: path)
        for _ in 0..<600 where found.verdict == .busy {
            usleep(100_000)
            found = look(at: path)
        }
        switch found.verdict {
        case .missing, .unreadable: throw CommandFailure(.unavailable, "storage: " + found.reason)
        case .refused: throw CommandFailure(.refused, "storage: " + found.identity + " is not taken: " + found.reason)
        case .busy: throw CommandFailure(.refused, "storage: " + found.reason)
        case .absent, .blank, .ours, .givenUp, .inUse, .foreign: break
        }
        guard let wanted = options.optional("--drive"), wanted != found.identity else { return found }
        // A drive known by its volume loses that name with the volume, but is still the same one.
        guard let sequence = try options.number("--diskseq", 0...Int64.max), sequence == found.sequence else {
            throw CommandFailure(.refused, "storage " + word + ": at " + path + " is " + found.identity + ", and not " + wanted)
        }
        found.identity = wanted
        return found
    }

    /// Holds what was looked at for as long as the step takes; nil where there is nothing yet.
    private func hold(_ found: Inspection) throws(CommandFailure) -> Held? {
        guard found.verdict != .absent else { return nil }
        return try carried { () throws(StorageError) in
            let held = Held(grip: try Grip(found.path, waitingSeconds: 60))
            // It could have been changed for another before it was held.
            guard let disk = try layout.finder(config).disk(at: found.path), disk.sequence == found.sequence, disk.bytes == found.bytes
            else { throw StorageError("another drive is at " + found.path + " now", code: ESTALE) }
            return held
        }
    }

    /// A grip in a box that an optional can hold.
    private final class Held {
        private let grip: Grip

        init(grip: consuming Grip) { self.grip = grip }
    }

    /// Notes which volume the drive carries, so that it is known again in another socket.
    private func remember(_ found: Inspection) throws(CommandFailure) {
        guard let volume = Inspect.volume(at: found.path) else { return }
        let known = KnownDrivesFile.read(layout.knownDrivesPath)
        let now = KnownDrive.remembering(KnownDrive(identity: found.identity, volume: volume), in: known)
        guard now != known else { return }
        try system(otherwise: .failed) { () throws(SystemError) in
            try Files.makeFolder(layout.stateFolder, mode: 0o700)
            try KnownDrivesFile.write(now, layout.knownDrivesPath)
        }
    }

    /// Runs a step; its error as the command's.
    private func carried<Value: ~Copyable>(_ body: () throws(StorageError) -> Value) throws(CommandFailure) -> Value {
        do throws(StorageError) { return try body() } catch {
            throw CommandFailure(.failed, "storage " + word + ": " + error.message)
        }
    }

    private func print(_ json: JSON) {
        Terminal.print(options.has("--json") ? String(decoding: json.encoded(), as: UTF8.self) : json.pretty())
    }

    /// One storage step at a time, whoever asks: a child of a killed governor may still be at work.
    private func takeLock() throws(StorageError) -> FileDescriptor {
        do throws(SystemError) {
            try Files.makeFolder(layout.runFolder, mode: 0o711)
            let file = try FileDescriptor.open(layout.storageLockPath, O_RDWR | O_CREAT)
            for _ in 0..<6_000 {
                if try file.lock() { return file }
                usleep(100_000)
            }
            throw SystemError(EBUSY, "another storage step has been at work for 10 minutes")
        } catch { throw StorageError(error) }
    }

    private func show(_ found: Inspection) throws(CommandFailure) {
        print(InspectionText.json(found))
        if found.verdict == .missing { throw CommandFailure(.unavailable, "storage inspect: " + found.reason) }
    }

    /// Whose the drive is decides; by hand it also takes the word `yes`.
    private func askBefore(_ found: Inspection) throws(CommandFailure) {
        let verb = word == "prepare" ? "format" : "erase"
        guard found.mayBeTaken(claims: claims(), adoptsAny: config.drive.adoptsAny) else {
            let advice = ": not ours to " + verb + "; put an empty file ERASE-THIS-DRIVE on it, or set \"adopt\": \"any\""
            throw CommandFailure(.refused, "storage: " + found.identity + " " + found.reason + advice)
        }
        if options.has("--yes") { return }
        Terminal.put(verb + " " + found.identity + " (\(found.bytes >> 20) MiB, " + found.reason + ")? Type yes: ")
        let answer = (try? FileDescriptor(owning: dup(0)).read(upTo: 16)) ?? []
        guard answer.starts(with: "yes\n".utf8) else { throw CommandFailure(.usage, "storage: nothing was changed") }
    }

    /// The drives that the journal on the card claims.
    private func claims() -> [String] {
        guard let bytes = try? Files.read(layout.journalPath, limit: 1 << 20), let json = try? JSON.parse(bytes),
            let journal = try? Journal(json)
        else { return [] }
        return journal.claims
    }

    /// Progress: lines for the governor, one rewritten line for a person.
    private func teller() -> (StepProgress) -> Void {
        let asJSON = options.has("--json")
        var last: Progress?
        return { step in
            guard let progress = Progress(step.step, done: step.done, total: step.total, after: last) else { return }
            last = progress
            if asJSON { return Terminal.print(ProgressText.write(step)) }
            guard Terminal.isInteractive else { return }
            let left = progress.rate.map { ", \($0.bytesPerSecond >> 20) MiB/s, \($0.secondsLeft) s left" } ?? ""
            let text = step.step + " \(progress.percent) %" + left + "    "
            Terminal.put("\r" + text + (progress.percent == 100 ? "\n" : ""), to: STDERR_FILENO)
        }
    }
}
