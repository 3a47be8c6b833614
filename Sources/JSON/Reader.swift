/// Reads an object strictly: each key once by its type and range, and at the end no key may be left over.
///
///     var reader = try ObjectReader(json)
///     let port = try reader.integer("port", 1...65_535)
///     try reader.finish()
public struct ObjectReader {
    private var left: [JSON.Member]
    /// The path of this object from the outermost one; empty for that one itself.
    public let path: String

    /// A reader of an object; an error where the value is something else.
    public init(_ json: JSON, at path: String = "") throws(JSONError) {
        guard case .object(let members) = json else { throw JSONError(path, expected: "an object", found: json.kind) }
        left = members
        self.path = path
    }

    private func place(_ key: String) -> String { (path.isEmpty ? "" : path + ".") + (key.isEmpty ? "\"\"" : key) }

    /// Takes a key out; nil where it is absent or null.
    public mutating func optional(_ key: String) -> JSON? {
        guard let index = left.firstIndex(where: { $0.key == key }) else { return nil }
        let value = left.remove(at: index).value
        return value == .null ? nil : value
    }

    /// Takes a key out that must be there.
    public mutating func value(_ key: String, expected: String) throws(JSONError) -> JSON {
        guard let value = optional(key) else { throw JSONError(place(key), expected: expected, found: "nothing") }
        return value
    }

    /// A whole number in a range.
    public mutating func integer(_ key: String, _ range: ClosedRange<Int64>) throws(JSONError) -> Int64 {
        try integer(try value(key, expected: Self.words(range)), key, range)
    }

    /// A whole number in a range, or nil where the key is absent.
    public mutating func optionalInteger(_ key: String, _ range: ClosedRange<Int64>) throws(JSONError) -> Int64? {
        guard let value = optional(key) else { return nil }
        return try integer(value, key, range)
    }

    private func integer(_ value: JSON, _ key: String, _ range: ClosedRange<Int64>) throws(JSONError) -> Int64 {
        guard let number = value.whole ?? Self.integral(value) else {
            throw JSONError(place(key), expected: Self.words(range), found: value.kind)
        }
        guard range.contains(number) else { throw JSONError(place(key), expected: Self.words(range), found: "\(number)") }
        return number
    }

    /// `60.0` is a whole number too, as JSON Schema says: some writers know only one kind. Nil beyond 2^53, where a double skips some.
    private static func integral(_ value: JSON) -> Int64? {
        guard case .number(let number) = value, number.magnitude <= 9_007_199_254_740_992, number == number.rounded(.towardZero) else {
            return nil
        }
        return Int64(number)
    }

    private static func words(_ range: ClosedRange<Int64>) -> String {
        "a whole number from \(range.lowerBound) to \(range.upperBound)"
    }

    /// A string of a length in bytes, without control characters.
    public mutating func string(_ key: String, _ length: ClosedRange<Int>) throws(JSONError) -> String {
        try string(try value(key, expected: Self.words(length)), key, length)
    }

    /// A string, or nil where the key is absent.
    public mutating func optionalString(_ key: String, _ length: ClosedRange<Int>) throws(JSONError) -> String? {
        guard let value = optional(key) else { return nil }
        return try string(value, key, length)
    }

    private func string(_ value: JSON, _ key: String, _ length: ClosedRange<Int>) throws(JSONError) -> String {
        guard let text = value.text else { throw JSONError(place(key), expected: Self.words(length), found: value.kind) }
        let bytes = text.utf8
        guard length.contains(bytes.count) else {
            throw JSONError(place(key), expected: Self.words(length), found: bytes.isEmpty ? "an empty string" : "\(bytes.count) bytes")
        }
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            throw JSONError(place(key), expected: "a string without control characters", found: "one")
        }
        return text
    }

    private static func words(_ length: ClosedRange<Int>) -> String {
        length.lowerBound == length.upperBound
            ? "a string of \(length.lowerBound) bytes" : "a string of \(length.lowerBound) to \(length.upperBound) bytes"
    }

    /// A text that may span lines (a receipt, a signature): tabs and line feeds allowed, other control characters not.
    public mutating func multiline(_ key: String, _ length: ClosedRange<Int>) throws(JSONError) -> String {
        let value = try value(key, expected: Self.words(length))
        guard let text = value.text else { throw JSONError(place(key), expected: Self.words(length), found: value.kind) }
        guard length.contains(text.utf8.count) else {
            throw JSONError(place(key), expected: Self.words(length), found: "\(text.utf8.count) bytes")
        }
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x0A || $0 == 0x09 }) else {
            throw JSONError(place(key), expected: "a text without control characters", found: "one")
        }
        return text
    }

    /// true or false.
    public mutating func bool(_ key: String) throws(JSONError) -> Bool {
        let value = try value(key, expected: "true or false")
        guard let truth = value.truth else { throw JSONError(place(key), expected: "true or false", found: value.kind) }
        return truth
    }

    /// true or false, or nil where the key is absent.
    public mutating func optionalBool(_ key: String) throws(JSONError) -> Bool? {
        guard let value = optional(key) else { return nil }
        guard let truth = value.truth else { throw JSONError(place(key), expected: "true or false", found: value.kind) }
        return truth
    }

    /// One of a few words.
    public mutating func word<Word: RawRepresentable & CaseIterable>(
        _ key: String, as type: Word.Type
    ) throws(JSONError) -> Word where Word.RawValue == String {
        let expected = Self.words(type)
        return try word(try value(key, expected: expected), key, expected)
    }

    /// One of a few words, or nil where the key is absent.
    public mutating func optionalWord<Word: RawRepresentable & CaseIterable>(
        _ key: String, as type: Word.Type
    ) throws(JSONError) -> Word? where Word.RawValue == String {
        guard let value = optional(key) else { return nil }
        return try word(value, key, Self.words(type))
    }

    private func word<Word: RawRepresentable & CaseIterable>(
        _ value: JSON, _ key: String, _ expected: String
    ) throws(JSONError) -> Word where Word.RawValue == String {
        guard let text = value.text else { throw JSONError(place(key), expected: expected, found: value.kind) }
        guard let word = Word(rawValue: text) else { throw JSONError(place(key), expected: expected, found: "\"" + text + "\"") }
        return word
    }

    private static func words<Word: RawRepresentable & CaseIterable>(_ type: Word.Type) -> String where Word.RawValue == String {
        var text = "one of"
        for word in type.allCases { text += " \"" + word.rawValue + "\"" }
        return text
    }

    /// An object inside this one.
    public mutating func object(_ key: String) throws(JSONError) -> ObjectReader {
        try ObjectReader(try value(key, expected: "an object"), at: place(key))
    }

    /// An object inside this one, or nil where the key is absent.
    public mutating func optionalObject(_ key: String) throws(JSONError) -> ObjectReader? {
        guard let value = optional(key) else { return nil }
        return try ObjectReader(value, at: place(key))
    }

    /// A list of strings.
    public mutating func strings(_ key: String, atMost count: Int, _ length: ClosedRange<Int>) throws(JSONError) -> [String] {
        let value = try value(key, expected: "a list of strings")
        guard case .array(let elements) = value else {
            throw JSONError(place(key), expected: "a list of strings", found: value.kind)
        }
        guard elements.count <= count else {
            throw JSONError(place(key), expected: "at most \(count) strings", found: "\(elements.count)")
        }
        var strings: [String] = []
        for element in elements { strings.append(try string(element, key, length)) }
        return strings
    }

    /// A list's elements, none where the key is absent.
    public mutating func optionalList(_ key: String, atMost count: Int) throws(JSONError) -> [JSON] {
        guard let value = optional(key) else { return [] }
        guard case .array(let elements) = value else { throw JSONError(place(key), expected: "a list", found: value.kind) }
        guard elements.count <= count else {
            throw JSONError(place(key), expected: "a list of at most \(count)", found: "\(elements.count)")
        }
        return elements
    }

    /// An error that names a key of this object.
    public func failure(_ key: String, expected: String, found: String) -> JSONError {
        JSONError(place(key), expected: expected, found: found)
    }

    /// Ends the reading: an error where a key is left that nobody asked for.
    public consuming func finish() throws(JSONError) {
        guard let unknown = left.first else { return }
        throw JSONError(place(unknown.key), expected: "no such key", found: unknown.value.kind)
    }
}
