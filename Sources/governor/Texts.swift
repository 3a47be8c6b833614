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
        var members: [JSON.Member] = [
            .init("path", .string(found.path)), .init("identity", .string(found.identity)), .init("bytes", .integer(found.bytes)),
            .init("model", .string(found.model)), .init("usb", .bool(found.isUSB)), .init("verdict", .string(found.verdict.rawValue)),
            .init("reason", .string(found.reason)),
        ]
        if let sequence = found.sequence { members.append(.init("diskseq", .integer(sequence))) }
        if let signature = found.signature { members.append(.init("signature", .string(signature))) }
        if let volume = found.volume { members.append(.init("volume", .string(volume))) }
        return .object(members)
    }

    static func read(_ json: JSON) -> Inspection? {
        guard let path = json["path"]?.text, let identity = json["identity"]?.text, let bytes = json["bytes"]?.whole,
            let word = json["verdict"]?.text, let verdict = Inspection.Verdict(rawValue: word)
        else { return nil }
        return Inspection(
            path: path, identity: identity, bytes: bytes, sequence: json["diskseq"]?.whole, model: json["model"]?.text ?? "",
            isUSB: json["usb"]?.truth ?? false, verdict: verdict, reason: json["reason"]?.text ?? "",
            signature: json["signature"]?.text, volume: json["volume"]?.text)
    }

    /// What `storage list --json` printed.
    static func readList(_ outcome: Outcome) -> Result<[Inspection], World.Trouble> {
        guard outcome.status == 0 else { return .failure(World.Trouble(reason: outcome.reason)) }
        guard case .array(let elements)? = try? JSON.parse(outcome.output) else {
            return .failure(World.Trouble(reason: "storage list: no list in \(outcome.output.count) bytes of output"))
        }
        return .success(elements.compactMap { read($0) })
    }
}

/// The drives that carry a volume of ours, on the card. What can't be read is forgotten: it is only a help.
enum KnownDrivesFile {
    static func read(_ path: String) -> [KnownDrive] {
        guard let bytes = try? Files.read(path, limit: 1 << 20), case .array(let elements)? = try? JSON.parse(bytes) else { return [] }
        return elements.compactMap { element in
            guard let identity = element["identity"]?.text, let volume = element["volume"]?.text else { return nil }
            return KnownDrive(identity: identity, volume: volume)
        }
    }

    static func write(_ drives: [KnownDrive], _ path: String) throws(SystemError) {
        let elements = drives.map { JSON.object([.init("identity", .string($0.identity)), .init("volume", .string($0.volume))]) }
        try Files.makeFolder(Files.parent(of: path))
        try Files.replace(path, with: JSON.array(elements).encoded(), mode: 0o600)
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
