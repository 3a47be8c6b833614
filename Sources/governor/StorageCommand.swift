import CLinux
import Commands
import GovernorCore
import JSON
import Platform
import Protocol
import Storage

/// `governor storage inspect | prepare | open | close | erase | verify`: each step of the drive, for the governor and for a tester's hands.
enum StorageCommand {
    static func run(_ options: Options) throws(CommandFailure) {
        let layout = Layout(options)
        let word = options.words.first ?? ""
        guard ["inspect", "prepare", "open", "close", "erase", "verify"].contains(word) else {
            throw CommandFailure(.usage, "storage: expected inspect, prepare, open, close, erase or verify, found \"" + word + "\"")
        }
        let config = try layout.config()
        let volume = layout.volume(config)
        if word == "inspect" { return try show(try carried(word) { () throws(StorageError) in try Inspect.look(at: volume) }, options) }
        guard Invocation.isRoot else { throw CommandFailure(.notPermitted, "storage " + word + ": must be root") }
        let lock = try carried(word) { () throws(StorageError) in try takeLock(layout) }
        switch word {
        case "prepare":
            try askBefore("format", volume, options, layout, config)
            try carried(word) { () throws(StorageError) in try volume.prepare(teller(options)) }
        case "open": try carried(word) { () throws(StorageError) in try volume.open() }
        case "close": try carried(word) { () throws(StorageError) in try volume.close() }
        case "verify":
            let tell = teller(options)
            let checks = try carried(word) { () throws(StorageError) in try volume.verifyErased(config.drive.erase, tell) }
            print(.object([.init("checks", .array(checks.map { .string($0) }))]), options)
        default:
            try askBefore("erase", volume, options, layout, config)
            let tell = teller(options)
            let report = try carried(word) { () throws(StorageError) in
                try volume.erase(config.drive.erase, probing: options.has("--probe"), tell)
            }
            print(report.json, options)
        }
        _ = lock.raw
    }

    /// Runs a step; its error as the command's.
    private static func carried<Value: ~Copyable>(
        _ word: String, _ body: () throws(StorageError) -> Value
    ) throws(CommandFailure) -> Value {
        do throws(StorageError) { return try body() } catch {
            throw CommandFailure(.failed, "storage " + word + ": " + error.message)
        }
    }

    private static func print(_ json: JSON, _ options: Options) {
        Terminal.print(options.has("--json") ? String(decoding: json.encoded(), as: UTF8.self) : json.pretty())
    }

    /// One storage step at a time, whoever asks: a child of a killed governor may still be at work.
    private static func takeLock(_ layout: Layout) throws(StorageError) -> FileDescriptor {
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

    private static func show(_ found: Inspection, _ options: Options) throws(CommandFailure) {
        print(InspectionText.json(found), options)
        if found.verdict == .missing { throw CommandFailure(.unavailable, "storage inspect: " + found.reason) }
    }

    /// Whose the drive is decides; by hand it also takes the word `yes`.
    private static func askBefore(
        _ verb: String, _ volume: Volume, _ options: Options, _ layout: Layout, _ config: Config
    ) throws(CommandFailure) {
        let found = try carried(verb) { () throws(StorageError) in try Inspect.look(at: volume) }
        if found.verdict == .missing { throw CommandFailure(.unavailable, "storage: " + found.reason) }
        guard found.mayBeTaken(claims: claims(layout), adoptsAny: config.drive.adoptsAny) else {
            let advice = ": not ours to " + verb + "; erase it yourself, or set \"adopt\": \"any\""
            throw CommandFailure(.refused, "storage: " + found.identity + " " + found.reason + advice)
        }
        if options.has("--yes") { return }
        Terminal.put(verb + " " + found.identity + " (\(found.bytes >> 20) MiB, " + found.reason + ")? Type yes: ")
        let answer = (try? FileDescriptor(owning: dup(0)).read(upTo: 16)) ?? []
        guard answer.starts(with: "yes\n".utf8) else { throw CommandFailure(.usage, "storage: nothing was changed") }
    }

    /// The drives that the journal on the card claims.
    private static func claims(_ layout: Layout) -> [String] {
        guard let bytes = try? Files.read(layout.journalPath, limit: 1 << 20), let json = try? JSON.parse(bytes),
            let journal = try? Journal(json)
        else { return [] }
        return journal.claims
    }

    /// Progress: lines for the governor, one rewritten line for a person.
    private static func teller(_ options: Options) -> (StepProgress) -> Void {
        let started = Clock.bootNanoseconds()
        let asJSON = options.has("--json")
        var last: Int64 = -1
        return { step in
            let percent = step.total > 0 ? step.done * 100 / step.total : 0
            guard percent != last else { return }
            last = percent
            if asJSON { return Terminal.print(ProgressText.write(step)) }
            guard Terminal.isInteractive else { return }
            let progress = Progress(step: step.step, done: step.done, total: step.total, startedAt: started)
            let left = progress.rate.map { ", \($0.bytesPerSecond >> 20) MiB/s, \($0.secondsLeft) s left" } ?? ""
            Terminal.put("\r" + step.step + " \(percent) %" + left + "    " + (percent == 100 ? "\n" : ""), to: STDERR_FILENO)
        }
    }
}
