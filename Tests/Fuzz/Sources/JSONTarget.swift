import JSON

/// JSON: what is taken is RFC 8259 by a reader of its own, and is the same again when it is written and read.
func fuzzJSON(_ input: [UInt8]) {
    var grammar = Grammar(input)
    let verdict = grammar.judge()
    do throws(JSONError) {
        let value = try JSON.parse(input)
        expect(verdict != .wrong, "taken, but no JSON")
        let text = value.encoded()
        expect(text.allSatisfy { $0 >= 0x20 }, "a control character in what is written on one line")
        expect((try? JSON.parse(text)) == value, "written and read it is another: " + String(decoding: text, as: UTF8.self))
        expect((try? JSON.parse(Array(value.pretty().utf8))) == value, "written for people and read it is another: " + value.pretty())
    } catch {
        expect(isLine(error.message), "an error that is no line: " + error.message)
        expect(verdict != .right, "refused, but JSON: " + error.message)
    }
}

/// Whether a text is one line that does nothing to a terminal.
func isLine(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F } }

/// The grammar of RFC 8259, and nothing else of it.
struct Grammar {
    enum Verdict {
        case right, wrong
        /// JSON that we need not take: nested deeper, or with a number that we can't hold, or that no key can be.
        case beyond
    }

    private let bytes: [UInt8]
    private var index = 0
    private var isBeyond = false

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func judge() -> Verdict {
        guard String(decoding: bytes, as: UTF8.self).utf8.elementsEqual(bytes) else { return .wrong }
        space()
        guard value(depth: 1) else { return .wrong }
        space()
        return index < bytes.count ? .wrong : isBeyond ? .beyond : .right
    }

    private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func take(_ byte: Character) -> Bool {
        guard next == byte.asciiValue else { return false }
        index += 1
        return true
    }

    private mutating func space() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { index += 1 }
    }

    private mutating func value(depth: Int32) -> Bool {
        if depth >= JSON.deepest { isBeyond = true }
        if depth > 1_000 { return false }
        switch next {
        case UInt8(ascii: "{"): return list(depth, "{", "}", isObject: true)
        case UInt8(ascii: "["): return list(depth, "[", "]", isObject: false)
        case UInt8(ascii: "\""): return string(isKey: false)
        case UInt8(ascii: "t"): return word("true")
        case UInt8(ascii: "f"): return word("false")
        case UInt8(ascii: "n"): return word("null")
        default: return number()
        }
    }

    private mutating func list(_ depth: Int32, _ open: Character, _ close: Character, isObject: Bool) -> Bool {
        _ = take(open)
        space()
        if take(close) { return true }
        repeat {
            space()
            if isObject {
                guard string(isKey: true) else { return false }
                space()
                guard take(":") else { return false }
                space()
            }
            guard value(depth: depth + 1) else { return false }
            space()
        } while take(",")
        return take(close)
    }

    private mutating func word(_ word: String) -> Bool {
        guard bytes[index...].starts(with: word.utf8) else { return false }
        index += word.utf8.count
        return true
    }

    private mutating func string(isKey: Bool) -> Bool {
        guard take("\"") else { return false }
        while let byte = next {
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return true
            case UInt8(ascii: "\\"): guard escape(isKey: isKey) else { return false }
            case 0..<0x20: return false
            default: break
            }
        }
        return false
    }

    private mutating func escape(isKey: Bool) -> Bool {
        guard let byte = next else { return false }
        index += 1
        guard byte == UInt8(ascii: "u") else { return Array("\"\\/bfnrt".utf8).contains(byte) }
        let digits = bytes[index...].prefix(4)
        guard digits.count == 4, let unit = UInt32(String(decoding: digits, as: UTF8.self), radix: 16),
            digits.first != UInt8(ascii: "+"), digits.first != UInt8(ascii: "-")
        else { return false }
        index += 4
        if unit == 0 && isKey { isBeyond = true }
        return true
    }

    private mutating func number() -> Bool {
        let start = index
        _ = take("-")
        if !take("0") { guard digits() else { return false } }
        if take(".") { guard digits() else { return false } }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            guard digits() else { return false }
        }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        if Int64(text).map({ $0 == .min }) ?? true, !text.utf8.contains(where: { $0 == 0x2E || $0 | 0x20 == 0x65 }) { isBeyond = true }
        if Double(text).map({ !$0.isFinite }) ?? true { isBeyond = true }
        return true
    }

    private mutating func digits() -> Bool {
        let start = index
        while let byte = next, (0x30...0x39).contains(byte) { index += 1 }
        return index > start
    }
}
