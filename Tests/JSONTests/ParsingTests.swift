import Foundation
import JSON
import Testing

/// What is taken for JSON, and what is not.
@Suite struct ParsingTests {
    static let good: [(String, JSON)] = [
        ("null", .null), ("true", .bool(true)), ("false", .bool(false)), ("0", .integer(0)), ("-1", .integer(-1)), ("12", .integer(12)),
        ("1.5", .number(1.5)), ("1e3", .number(1_000)), ("-0.25", .number(-0.25)), ("0.05", .number(0.05)), ("10.05e-01", .number(1.005)),
        ("[1,0,20]", .array([.integer(1), .integer(0), .integer(20)])),
        (#""\"01.5""#, .string("\"01.5")), (#"["1.",1,"2.x"]"#, .array([.string("1."), .integer(1), .string("2.x")])),
        (#"{"01.5":[0]}"#, .object([.init("01.5", .array([.integer(0)]))])),
        (#""""#, .string("")), (#""a""#, .string("a")),
        ("[]", .array([])), ("{}", .object([])), ("[1,[2]]", .array([.integer(1), .array([.integer(2)])])),
        (#"{"a":null}"#, .object([.init("a", .null)])), (" { \"a\" : 1 } ", .object([.init("a", .integer(1))])),
        ("9223372036854775807", .integer(.max)), ("-9223372036854775807", .integer(-.max)),
        (#""A\n\t\"\\\/""#, .string("A\n\t\"\\/")), (#""\ud83d\ude00""#, .string("😀")), (#""\u0000b""#, .string("\0b")),
        (#"{"b":1,"a":2}"#, .object([.init("b", .integer(1)), .init("a", .integer(2))])), ("{}\n", .object([])), ("\r\n\t 7 ", .integer(7)),
    ]

    @Test(arguments: good)
    func `is read`(text: String, value: JSON) throws { #expect(try JSON.parse(Array(text.utf8)) == value) }

    static let bad: [String] = [
        "", " ", "{", "[", "{}}", "[]]", "{} {}", "{}x", "1 2", "nul", "nulll", "truee", "True", "NULL", "NaN", "-NaN", "Infinity",
        "-Infinity",
        "1e999", "01", "-", "+1", ".5", "0x10", "'a'", "{a:1}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, "[1,]", "[,1]", "[1 2]",
        #"{"a" 1}"#, #"{"a":1 "b":2}"#, #""a"#, #""\x41""#, #""\u12""#, "/* c */ 1", "// c\n1", "{}\0", "{}\0{}", "\u{FEFF}{}",
        "<html></html>",
        "\"a\nb\"", "\"\u{1}ä\"", "{\"\t\":1}", "220.", "-.5", "[1,-.0]", "[1.]", "1.e5", "-0.", "1e", "1e+", "1.5e-", "055.25", "[00.5]",
        "-01.5", "01e3",
        #"{"a":"\\","b":01.5}"#, #""\"" 00.1"#,
        "9223372036854775808", "18446744073709551615", "99999999999999999999", "-9223372036854775808", "-9223372036854775809",
    ]

    @Test(arguments: bad)
    func `is refused`(text: String) { #expect(throws: JSONError.self) { try JSON.parse(Array(text.utf8)) } }

    @Test func `the last of two equal keys counts, as json-c has it`() throws {
        #expect(try JSON.parse(Array(#"{"a":1,"a":2}"#.utf8)) == .object([.init("a", .integer(2))]))
    }

    @Test(arguments: [
        [0x22, 0xFF, 0x22], [0x22, 0xC3, 0x28, 0x22], [0x22, 0xE2, 0x82, 0x22], [0x22, 0x80, 0x22], [0xFF], [0x22, 0xF0, 0x9F, 0x98],
        [0x22, 0xF0, 0x8F, 0x98, 0x80, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
        [0x22, 0xF5, 0x80, 0x80, 0x80, 0x22],
    ])
    func `invalid UTF-8 is refused`(bytes: [UInt8]) { #expect(throws: JSONError.self) { try JSON.parse(bytes) } }

    @Test(arguments: [("[", "]"), (#"{"a":"#, "}")])
    func `sixteen levels are read, seventeen are not`(open: String, close: String) throws {
        func nested(_ levels: Int) -> [UInt8] {
            let inner = open == "[" ? "[]" : "{}"
            return Array((String(repeating: open, count: levels - 1) + inner + String(repeating: close, count: levels - 1)).utf8)
        }
        _ = try JSON.parse(nested(16))
        let error = #expect(throws: JSONError.self) { try JSON.parse(nested(17)) }
        #expect(error?.found.hasPrefix("nesting too deep") == true)
    }

    @Test func `a thousand levels do not blow the stack`() {
        #expect(throws: JSONError.self) { try JSON.parse([UInt8](repeating: UInt8(ascii: "["), count: 1_000)) }
    }

    @Test func `every cut of a text is refused`() {
        let bytes = Array(#"{"a":[1,2.5,"x\u00e9y",true,null],"b":{"c":"😀"}}"#.utf8)
        for count in 0..<bytes.count { #expect(throws: JSONError.self) { try JSON.parse(Array(bytes[..<count])) } }
    }

    @Test func `an error says what and where`() {
        let error = #expect(throws: JSONError.self) { try JSON.parse(Array(#"{"a":x}"#.utf8)) }
        #expect(error?.message == "expected JSON, found unexpected character at byte 5")
        #expect(throws: JSONError("", expected: "JSON", found: "nothing")) { try JSON.parse([]) }
    }

    @Test func `an error is one line, whatever the text holds`() throws {
        let message = try error(#"{"a\u000a\u001b[31m":1}"#).message
        #expect(message == "a??[31m: expected no such key, found a whole number")
        let long = String(repeating: "x", count: 5_000)
        #expect(try error("{\"\(long)\":1}").message == "\(long.prefix(300))…: expected no such key, found a whole number")
    }

    @Test func `a key without a letter is named too`() throws {
        #expect(try error(#"{"":1}"#).message == #""": expected no such key, found a whole number"#)
    }

    private func error(_ text: String) throws -> JSONError {
        let json = try JSON.parse(Array(text.utf8))
        return try #require(throws: JSONError.self) { try ObjectReader(json).finish() }
    }

    @Test func `bytes at random are read or refused, and never trap`() {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array(#"{}[]",:0123456789.eE+-\utrfalsn "#.utf8) + [0, 0x80, 0xFF]
        for _ in 0..<5_000 {
            let bytes = (0..<Int.random(in: 0...24, using: &random)).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
            }
            if let value = try? JSON.parse(bytes) { #expect((try? JSON.parse(value.encoded())) == value, "\(bytes)") }
        }
    }
}

/// What is printed.
@Suite struct PrintingTests {
    static let values: [JSON] = [
        .null, .bool(true), .integer(-.max), .integer(.max), .number(0.1), .number(-1e300), .number(3), .string(""),
        .string("grün – 😀 – 日本"),
        .string("\0\u{1}\u{1F}\u{7F}\n\r\t\u{8}\u{C}\"\\/"), .string("\u{2028}\u{FFFD}\u{10FFFF}"), .array([]), .object([]),
        .array([.null, .bool(false), .array([.object([])])]),
        .object([.init("", .string("")), .init("ä ö", .array([.integer(1)])), .init("a\"b\\", .object([.init("x", .null)]))]),
    ]

    @Test(arguments: values)
    func `what is printed is read back the same`(value: JSON) throws { #expect(try JSON.parse(value.encoded()) == value) }

    @Test(arguments: values)
    func `the indented text is read back the same`(value: JSON) throws { #expect(try JSON.parse(Array(value.pretty().utf8)) == value) }

    @Test(arguments: values)
    func `Foundation reads it the same way`(value: JSON) throws {
        _ = try JSONSerialization.jsonObject(with: Data(value.encoded()), options: .fragmentsAllowed)
    }

    @Test func `one line, no spaces, slashes as they are, in the order given`() {
        let value = JSON.object([.init("b", .array([.integer(1), .string("a/b")])), .init("a", .null)])
        #expect(String(decoding: value.encoded(), as: UTF8.self) == #"{"b":[1,"a/b"],"a":null}"#)
    }

    @Test func `control characters are escaped, so a text stays on its line`() {
        #expect(String(decoding: JSON.string("a\n\u{1}\0").encoded(), as: UTF8.self) == #""a\n\u0001\u0000""#)
    }

    @Test func `a lone surrogate becomes a replacement character, not invalid UTF-8`() throws {
        #expect(try JSON.parse(Array(#""\ud800""#.utf8)) == .string("\u{FFFD}"))
    }
}
