import CLinux
import JSON
import Platform
import Protocol
import Storage

// What the storage children print and the governor reads, both ways in one place.

/// `{"step":…,"done":…,"total":…}`, one a line.
enum ProgressText {
    static func write(_ progress: StepProgress) -> String {
        let json = JSON.object([
            .init("step", .string(progress.step)), .init("done", .integer(progress.done)), .init("total", .integer(progress.total)),
        ])
        return String(decoding: json.encoded(), as: UTF8.self)
    }

    static func read(_ line: String) -> (step: String, done: Int64, total: Int64)? {
        guard let json = try? JSON.parse(Array(line.utf8)), let step = json["step"]?.text, let done = json["done"]?.whole,
            let total = json["total"]?.whole
        else { return nil }
        return (step, done, total)
    }
}

/// What a look at a drive found.
enum InspectionText {
    static func json(_ found: Inspection) -> JSON {
        .object([
            .init("identity", .string(found.identity)), .init("bytes", .integer(found.bytes)),
            .init("verdict", .string(found.verdict.rawValue)), .init("reason", .string(found.reason)),
        ])
    }

    static func read(_ outcome: Outcome, path: String) -> Inspection {
        if let json = try? JSON.parse(outcome.output), let identity = json["identity"]?.text, let bytes = json["bytes"]?.whole,
            let word = json["verdict"]?.text, let verdict = Inspection.Verdict(rawValue: word)
        {
            return Inspection(identity: identity, bytes: bytes, verdict: verdict, reason: json["reason"]?.text ?? "")
        }
        return Inspection(identity: "path:" + path, bytes: 0, verdict: .missing, reason: outcome.reason)
    }
}

/// What an erase found, on the last line.
enum EraseText {
    static func read(_ outcome: Outcome) -> Result<EraseReport, World.Trouble> {
        guard outcome.status == 0 else { return .failure(World.Trouble(reason: outcome.reason)) }
        let line = outcome.output.split(separator: UInt8(ascii: "\n")).last.map { Array($0) } ?? []
        do throws(JSONError) {
            return .success(try EraseReport(try ObjectReader(try JSON.parse(line))))
        } catch { return .failure(World.Trouble(reason: "the erasing child: " + error.message)) }
    }
}

/// The renter's account on the drive.
enum AccountFile {
    static func write(_ account: Account, _ path: String) throws(SystemError) {
        try Files.replace(path, with: account.json.encoded(), mode: 0o600)
    }

    static func read(_ path: String) -> Account? {
        guard let bytes = try? Files.read(path, limit: 4_096) else { return nil }
        do throws(JSONError) { return try Account(try ObjectReader(try JSON.parse(bytes))) } catch { return nil }
    }
}
