import JSON

/// The text of device-config.json as owners' editors and card readers leave it. What is meant well is taken (a byte order mark, Windows' line
/// ends); of what can't be read it is said what has happened to the file, and where.
public enum OwnersText {
    /// Parses the file's bytes. The error is for somebody who has an editor and a card reader, and no other way to look.
    public static func parse(_ file: [UInt8]) throws(JSONError) -> JSON {
        let bytes = file.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(file.dropFirst(3)) : file
        if let fault = fault(of: bytes) { throw fault }
        return try JSON.parse(bytes) { reason, offset in found(reason, offset, in: bytes) }
    }

    /// What is wrong with the text whatever it says; nil where it is a text in UTF-8.
    private static func fault(of bytes: [UInt8]) -> JSONError? {
        guard bytes.contains(where: { $0 > 0x20 }) else {
            return JSONError(
                "", expected: "JSON",
                found: bytes.contains(0) ? notWhole("nothing but zero bytes") : "an empty file; copy it to the card again")
        }
        // The mark of UTF-16, or, without one, a zero byte in the first two: what is read here begins with a character of ASCII.
        if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) || bytes.prefix(2).contains(0) {
            return JSONError("", expected: "JSON in UTF-8", found: "a file saved as UTF-16; save it as UTF-8")
        }
        // A card that was pulled too early leaves the file's length, and zeros for its end.
        if let zero = bytes.firstIndex(of: 0) {
            return JSONError("", expected: "JSON", found: notWhole("zero bytes from " + place(zero, in: bytes)))
        }
        guard !String(decoding: bytes, as: UTF8.self).utf8.elementsEqual(bytes) else { return nil }
        return JSONError("", expected: "JSON in UTF-8", found: "a file saved in another encoding (\"ANSI\"); save it as UTF-8")
    }

    private static func notWhole(_ what: String) -> String { what + ": the file was not copied whole; copy it again" }

    /// What the parser found at a byte, by line and column, as an editor shows them.
    private static func found(_ reason: String, _ offset: Int, in bytes: [UInt8]) -> String {
        let place = place(offset, in: bytes)
        guard offset < bytes.count else {
            return "a text that ends too early, in " + place + ": the file was not copied whole, or a closing \" or } is missing"
        }
        let isCurly =
            bytes[offset...].starts(with: [0xE2, 0x80]) && bytes.dropFirst(offset + 2).first.map { (0x98...0x9F).contains($0) } ?? false
        return isCurly ? "a curly quote in " + place + "; use straight ones, \"" : reason + " in " + place
    }

    /// Line and column of a byte, both from 1; a column is a byte, and a tab one of them.
    private static func place(_ offset: Int, in bytes: [UInt8]) -> String {
        let before = bytes[..<min(offset, bytes.count)]
        let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        let line = before.reduce(1) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
        return "line \(line), column \(before.count - start + 1)"
    }
}
