import CLinux
import GovernorCore
import JSON
import Platform
import Protocol
import Storage

/// `governor storage inspect | prepare | open | close | erase`: each step of the drive, for the governor and for a tester's hands.
enum StorageCommand {
    static func run(_ words: [String], _ options: Options, _ layout: Layout, _ config: Config) -> Int32 {
        guard let word = words.first, words.count == 1, ["inspect", "prepare", "open", "close", "erase"].contains(word) else {
            Terminal.complain("governor storage: expected inspect, prepare, open, close or erase")
            return Exit.usage
        }
        let volume = layout.volume(config)
        let asJSON = options.has("json")
        do throws(StorageError) {
            if word == "inspect" { return show(try Inspect.look(at: volume), asJSON) }
            guard Invocation.isRoot else {
                Terminal.complain("governor storage " + word + ": must be root")
                return Exit.noPermission
            }
            let lock = try takeLock(layout)
            defer { _ = lock.raw }
            switch word {
            case "prepare":
                guard try mayDestroy(volume, options, layout, config, "format") else { return Exit.usage }
                try volume.prepare(teller(asJSON))
            case "open": try volume.open()
            case "close": try volume.close()
            default:
                guard try mayDestroy(volume, options, layout, config, "erase") else { return Exit.usage }
                let method = EraseResult.Method(rawValue: config.drive.erase.rawValue) ?? .overwrite
                let report = EraseText.report(try volume.erase(method, teller(asJSON)), config.drive.encryption)
                Terminal.print(asJSON ? String(decoding: report.json.encoded(), as: UTF8.self) : report.json.pretty())
            }
            return Exit.fine
        } catch {
            Terminal.complain("governor storage " + word + ": " + error.message)
            return Exit.failed
        }
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

    private static func show(_ found: Inspection, _ asJSON: Bool) -> Int32 {
        let json = InspectionText.json(found)
        Terminal.print(asJSON ? String(decoding: json.encoded(), as: UTF8.self) : json.pretty())
        return found.verdict == .missing ? Exit.unavailable : Exit.fine
    }

    /// Whose the drive is decides; by hand it also takes the word `yes`.
    private static func mayDestroy(
        _ volume: Volume, _ options: Options, _ layout: Layout, _ config: Config, _ verb: String
    ) throws(StorageError) -> Bool {
        let found = try Inspect.look(at: volume)
        let isClaimed = claims(layout).contains(found.identity)
        switch found.verdict {
        case .missing: throw StorageError(found.reason)
        case .foreign where !isClaimed && !config.drive.adoptsAny:
            throw StorageError(
                found.identity + " " + found.reason + ": not ours to " + verb + "; erase it yourself, or set \"adopt\": \"any\"")
        default: break
        }
        if options.has("yes") { return true }
        Terminal.put(verb + " " + found.identity + " (\(found.bytes >> 20) MiB, " + found.reason + ")? Type yes: ")
        let answer = (try? FileDescriptor(owning: dup(0)).read(upTo: 16)) ?? []
        guard answer.starts(with: "yes\n".utf8) else {
            Terminal.complain("nothing was changed")
            return false
        }
        return true
    }

    /// The drives that the journal says are ours: a half-formatted one has no label.
    private static func claims(_ layout: Layout) -> [String] {
        guard let bytes = try? Files.read(layout.journalPath, limit: 1 << 20), let json = try? JSON.parse(bytes),
            let journal = try? Journal(json)
        else { return [] }
        return [journal.drive, journal.clean].compactMap { $0 }
    }

    /// Progress: lines for the governor, one rewritten line for a person.
    private static func teller(_ asJSON: Bool) -> (StepProgress) -> Void {
        let started = Clock.bootNanoseconds()
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
