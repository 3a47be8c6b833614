import CJSON

/// A JSON value (RFC 8259). Parsing and printing are json-c's.
public indirect enum JSON: Equatable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([Member])

    /// A key and its value, in the order of the text.
    public struct Member: Equatable, Sendable {
        /// The key.
        public let key: String
        /// The value.
        public let value: JSON

        /// A member of an object.
        public init(_ key: String, _ value: JSON) {
            self.key = key
            self.value = value
        }
    }

    /// What kind of value this is, in the words of an error message.
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool: "true or false"
        case .integer: "a whole number"
        case .number: "a number with a fraction"
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }

    /// The member of an object, nil where there is none or this is no object. For answers of others, read leniently.
    public subscript(key: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.key == key }?.value
    }

    /// Its elements, nil where it is no list.
    public var elements: [JSON]? {
        if case .array(let elements) = self { return elements }
        return nil
    }

    /// The string, if this is one.
    public var text: String? {
        if case .string(let value) = self { return value }
        return nil
    }

    /// The whole number, if this is one.
    public var whole: Int64? {
        if case .integer(let value) = self { return value }
        return nil
    }

    /// The truth value, if this is one.
    public var truth: Bool? {
        if case .bool(let value) = self { return value }
        return nil
    }
}

/// What was wrong with a JSON text or value: where, what was expected there, and what was found.
public struct JSONError: Error, Equatable, Sendable {
    /// The key from the outermost object inwards, `storage.size`; empty for the text as a whole.
    public let path: String
    /// What would have been right.
    public let expected: String
    /// What was there.
    public let found: String

    /// An error at a key.
    public init(_ path: String, expected: String, found: String) {
        self.path = path
        self.expected = expected
        self.found = found
    }

    /// One line for people and logs, whatever keys and values there were: without control characters, and what is long is cut.
    public var message: String {
        (path.isEmpty ? "" : Self.line(path) + ": ") + "expected " + expected + ", found " + Self.line(found)
    }

    /// The most that is shown of a path, or of what was found, bytes.
    private static let longest = 300

    private static func line(_ text: String) -> String {
        let bytes = text.utf8
        if bytes.count <= longest, bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) { return text }
        let clean = bytes.prefix(longest).map { $0 >= 0x20 && $0 != 0x7F ? $0 : UInt8(ascii: "?") }
        return String(decoding: clean, as: UTF8.self) + (bytes.count > longest ? "…" : "")
    }
}

/// The tree json-c makes; freed with its owner.
struct JSONTree: ~Copyable {
    let root: OpaquePointer?

    deinit { json_object_put(root) }
}

/// json-c's tokener; freed with its owner.
struct JSONTokener: ~Copyable {
    let raw: UnsafeMutablePointer<json_tokener>

    init?(depth: Int32, flags: Int32) {
        guard let raw = json_tokener_new_ex(depth) else { return nil }
        self.raw = raw
        json_tokener_set_flags(raw, flags)
    }

    deinit { json_tokener_free(raw) }
}

extension JSON {
    /// The deepest nesting that is read.
    public static let deepest: Int32 = 16

    /// Parses a text strictly: UTF-8, nothing after the value, at most 16 levels deep.
    public static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSON { try parse(bytes) { $0 + " at byte \($1)" } }

    /// The same; what is no JSON is told in the caller's words, made from the parser's reason and the byte at which it stopped (the length of a
    /// text that ends too early).
    public static func parse(_ bytes: [UInt8], telling words: (String, Int) -> String) throws(JSONError) -> JSON {
        guard !bytes.isEmpty, bytes.count < Int(Int32.max) else {
            throw JSONError("", expected: "JSON", found: bytes.isEmpty ? "nothing" : "more than 2 GiB")
        }
        // json-c takes a zero byte for the end of the text and would not look at what follows.
        if let zero = bytes.firstIndex(of: 0) { throw JSONError("", expected: "JSON", found: "a zero byte at byte \(zero)") }
        let value = try parseByGrammar(bytes, words)
        // json-c takes overlong forms and surrogates.
        let sound = String(decoding: bytes, as: UTF8.self).utf8
        guard sound.elementsEqual(bytes) else {
            throw JSONError("", expected: "JSON", found: words("invalid UTF-8", zip(sound, bytes).prefix { $0 == $1 }.count))
        }
        if let fault = fault(in: bytes) { throw JSONError("", expected: "JSON", found: words(fault.reason, fault.index)) }
        return value
    }

    /// json-c 0.18 (Debian 13) takes every byte above 127 in a string for a control character where char is signed and the grammar is strict
    /// (its issue 892). So the grammar is checked with letters in their place, and the text itself without being strict.
    private static func parseByGrammar(_ bytes: [UInt8], _ words: (String, Int) -> String) throws(JSONError) -> JSON {
        guard bytes.contains(where: { $0 >= 0x80 }) else { return try parse(bytes, cjson_strict_flags(), words) }
        _ = try parse(bytes.map { $0 < 0x80 ? $0 : UInt8(ascii: "x") }, cjson_strict_flags(), words)
        return try parse(bytes, Int32(JSON_TOKENER_VALIDATE_UTF8), words)
    }

    /// What json-c takes, strict or not, though it is no JSON: 01.5 (but not 01), 1. and -.1, and, before 0.18, control characters in strings.
    private static func fault(in bytes: [UInt8]) -> (reason: String, index: Int)? {
        func isDigit(_ index: Int) -> Bool { bytes.indices.contains(index) && (0x30...0x39).contains(bytes[index]) }
        var index = 0
        var isInString = false
        var isInNumber = false
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\""): (isInString, isInNumber) = (!isInString, false)
            case UInt8(ascii: "\\") where isInString: index += 1
            case 0..<0x20 where isInString: return ("control character in a string", index)
            case _ where isInString: break
            case UInt8(ascii: "0") where !isInNumber && isDigit(index + 1): return ("number with a leading zero", index)
            case UInt8(ascii: ".") where !isDigit(index - 1) || !isDigit(index + 1): return ("point without a digit on both sides", index)
            case UInt8(ascii: "0")...UInt8(ascii: "9"): isInNumber = true
            // What a number begins or goes on with.
            case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "+"): break
            default: isInNumber = false
            }
            index += 1
        }
        return nil
    }

    private static func parse(_ bytes: [UInt8], _ flags: Int32, _ words: (String, Int) -> String) throws(JSONError) -> JSON {
        guard let tokener = JSONTokener(depth: deepest, flags: flags) else {
            throw JSONError("", expected: "memory for a parser", found: "none")
        }
        let parser = tokener.raw
        let root = bytes.withUnsafeBytes { buffer in
            json_tokener_parse_ex(parser, buffer.bindMemory(to: CChar.self).baseAddress, Int32(bytes.count))
        }
        let tree = JSONTree(root: root)
        let end = json_tokener_get_parse_end(tokener.raw)
        var code = json_tokener_get_error(tokener.raw)
        // A bare number or word could go on with the next byte; the end of the text settles it.
        if code == json_tokener_continue {
            let settled = JSONTree(root: json_tokener_parse_ex(tokener.raw, "", -1))
            code = json_tokener_get_error(tokener.raw)
            if code == json_tokener_success { return try JSON(copying: settled.root, depth: 0) }
        }
        guard code == json_tokener_success else {
            let reason = json_tokener_error_desc(code).map { String(cString: $0) } ?? "error \(code.rawValue)"
            throw JSONError("", expected: "JSON", found: words(reason, Int(end)))
        }
        return try JSON(copying: tree.root, depth: 0)
    }

    /// Copies json-c's tree into a value, so that nothing above this file holds a pointer.
    init(copying node: OpaquePointer?, depth: Int) throws(JSONError) {
        guard let node else {
            self = .null
            return
        }
        switch json_object_get_type(node) {
        case json_type_boolean: self = .bool(json_object_get_boolean(node) != 0)
        case json_type_int:
            let value = json_object_get_int64(node)
            // json-c gives the nearest number it can hold for one that it can't.
            guard value != .min, value != .max || json_object_get_uint64(node) == UInt64(Int64.max) else {
                throw JSONError("", expected: "a whole number of at most 63 bits", found: "a longer one")
            }
            self = .integer(value)
        case json_type_double:
            let value = json_object_get_double(node)
            guard value.isFinite else { throw JSONError("", expected: "a finite number", found: "NaN or Infinity") }
            self = .number(value)
        case json_type_string: self = .string(Self.text(of: node))
        case json_type_array:
            var elements: [JSON] = []
            for index in 0..<json_object_array_length(node) {
                elements.append(try JSON(copying: json_object_array_get_idx(node, index), depth: depth + 1))
            }
            self = .array(elements)
        case json_type_object: self = .object(try Self.members(of: node, depth: depth))
        default: self = .null
        }
    }

    private static func text(of node: OpaquePointer) -> String {
        let count = Int(json_object_get_string_len(node))
        guard let start = json_object_get_string(node) else { return "" }
        return start.withMemoryRebound(to: UInt8.self, capacity: count) {
            String(decoding: UnsafeBufferPointer(start: $0, count: count), as: UTF8.self)
        }
    }

    private static func members(of node: OpaquePointer, depth: Int) throws(JSONError) -> [Member] {
        var members: [Member] = []
        var cursor = json_object_iter_begin(node)
        var end = json_object_iter_end(node)
        while json_object_iter_equal(&cursor, &end) == 0 {
            guard let name = json_object_iter_peek_name(&cursor) else { break }
            members.append(Member(String(cString: name), try JSON(copying: json_object_iter_peek_value(&cursor), depth: depth + 1)))
            json_object_iter_next(&cursor)
        }
        return members
    }

    /// The text of the value on one line, without spaces.
    public func encoded() -> [UInt8] {
        let tree = JSONTree(root: node())
        var count = 0
        guard let root = tree.root,
            let start = json_object_to_json_string_length(root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &count)
        else { return Array("null".utf8) }
        return start.withMemoryRebound(to: UInt8.self, capacity: count) { Array(UnsafeBufferPointer(start: $0, count: count)) }
    }

    /// The text of the value, indented, for people.
    public func pretty() -> String {
        let tree = JSONTree(root: node())
        let flags = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE
        guard let root = tree.root, let start = json_object_to_json_string_ext(root, flags) else { return "null" }
        return String(cString: start)
    }

    /// json-c's tree of this value; the caller owns it.
    private func node() -> OpaquePointer? {
        switch self {
        case .null: return nil
        case .bool(let value): return json_object_new_boolean(value ? 1 : 0)
        case .integer(let value): return json_object_new_int64(value)
        case .number(let value): return json_object_new_double(value)
        case .string(let value):
            let bytes = Array(value.utf8)
            // An empty array has no base address, and json-c wants one.
            if bytes.isEmpty { return json_object_new_string_len("", 0) }
            return bytes.withUnsafeBytes { json_object_new_string_len($0.bindMemory(to: CChar.self).baseAddress, Int32(bytes.count)) }
        case .array(let elements):
            let list = json_object_new_array()
            for element in elements { json_object_array_add(list, element.node()) }
            return list
        case .object(let members):
            let object = json_object_new_object()
            for member in members { json_object_object_add(object, member.key, member.value.node()) }
            return object
        }
    }
}
