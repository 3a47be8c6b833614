import JSON
import Platform
import Protocol

/// How far an overwrite has come, kept on the card: after a power cut it goes on there. The check at the end reads the whole drive, so a
/// mark that is wrong costs time and proves nothing.
struct EraseMark: Equatable {
    /// Bytes between two marks: a card is not to be worn out by them.
    static let spacing: Int64 = 512 << 20

    let drive: String
    let bytes: Int64
    let done: Int64

    /// Where to go on: 0 without a mark, or with one that is about another drive or can't be read.
    static func read(_ path: String, drive: String, bytes: Int64) -> Int64 {
        guard let text = try? Files.read(path, limit: 8_192), let mark = try? EraseMark(try JSON.parse(text)), mark.drive == drive,
            mark.bytes == bytes
        else { return 0 }
        return mark.done
    }

    /// Replaces the mark on the card.
    func write(_ path: String) throws(SystemError) {
        let json = JSON.object([
            .init("drive", .string(drive)), .init("bytes", .integer(bytes)), .init("done", .integer(done)),
        ])
        try Files.makeFolder(Files.parent(of: path))
        try Files.replace(path, with: json.encoded(), mode: 0o600)
    }

    /// Removes it.
    static func forget(_ path: String) throws(SystemError) { _ = try Files.remove(path) }
}

extension EraseMark {
    init(_ json: JSON) throws(JSONError) {
        var reader = try ObjectReader(json)
        drive = try reader.string("drive", 1...4_096)
        bytes = try reader.integer("bytes", 0...(1 << 60))
        done = try reader.integer("done", 0...bytes)
        try reader.finish()
    }
}
