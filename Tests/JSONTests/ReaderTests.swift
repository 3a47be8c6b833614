import JSON
import Testing

/// Reading objects strictly: an error names the key and what was expected.
@Suite struct ReaderTests {
    enum Colour: String, CaseIterable { case red, green }

    private func reader(_ text: String) throws -> ObjectReader { try ObjectReader(JSON.parse(Array(text.utf8))) }

    /// The message of the error that reading throws.
    private func message(_ text: String, _ read: (inout ObjectReader) throws -> Void) -> String? {
        do {
            var reader = try reader(text)
            try read(&reader)
            try reader.finish()
            return nil
        } catch { return (error as? JSONError)?.message }
    }

    @Test(
        arguments: [
            (#"{"n":5}"#, nil), (#"{"n":1}"#, nil), (#"{"n":9}"#, nil),
            (#"{"n":0}"#, "n: expected a whole number from 1 to 9, found 0"),
            (#"{"n":10}"#, "n: expected a whole number from 1 to 9, found 10"),
            (#"{"n":"5"}"#, "n: expected a whole number from 1 to 9, found a string"),
            (#"{"n":5.5}"#, "n: expected a whole number from 1 to 9, found a number with a fraction"),
            (#"{"n":50.0}"#, "n: expected a whole number from 1 to 9, found 50"),
            (#"{"n":true}"#, "n: expected a whole number from 1 to 9, found true or false"),
            (#"{"n":null}"#, "n: expected a whole number from 1 to 9, found nothing"),
            ("{}", "n: expected a whole number from 1 to 9, found nothing"), (#"{"n":5,"m":[]}"#, "m: expected no such key, found a list"),
            (#"{"n":5,"m":null}"#, "m: expected no such key, found null"), ("[5]", "expected an object, found a list"),
        ] as [(String, String?)])
    func `a whole number`(text: String, expected: String?) { #expect(message(text) { _ = try $0.integer("n", 1...9) } == expected) }

    @Test(
        arguments: [
            (#"{"s":"ab"}"#, nil), (#"{"s":"äb"}"#, nil), (#"{"s":""}"#, "s: expected a string of 2 to 3 bytes, found an empty string"),
            (#"{"s":"a"}"#, "s: expected a string of 2 to 3 bytes, found 1 bytes"),
            (#"{"s":"abcd"}"#, "s: expected a string of 2 to 3 bytes, found 4 bytes"),
            (#"{"s":"a\n"}"#, "s: expected a string without control characters, found one"),
            (#"{"s":"a\u0000"}"#, "s: expected a string without control characters, found one"),
            (#"{"s":"a\u007f"}"#, "s: expected a string without control characters, found one"),
            (#"{"s":7}"#, "s: expected a string of 2 to 3 bytes, found a whole number"),
        ] as [(String, String?)])
    func `a string`(text: String, expected: String?) { #expect(message(text) { _ = try $0.string("s", 2...3) } == expected) }

    @Test(
        arguments: [
            (#"{"s":"a\n\tb"}"#, nil), (#"{"s":"a\rb"}"#, "s: expected a text without control characters, found one"),
            (#"{"s":"a\u0000b"}"#, "s: expected a text without control characters, found one"),
            (#"{"s":"abcdefghi"}"#, "s: expected a string of 1 to 8 bytes, found 9 bytes"),
        ] as [(String, String?)])
    func `a text of lines`(text: String, expected: String?) { #expect(message(text) { _ = try $0.multiline("s", 1...8) } == expected) }

    @Test(
        arguments: [
            (#"{"w":"red"}"#, nil), (#"{"w":"blue"}"#, #"w: expected one of "red" "green", found "blue""#),
            (#"{"w":"RED"}"#, #"w: expected one of "red" "green", found "RED""#),
            (#"{"w":1}"#, #"w: expected one of "red" "green", found a whole number"#),
            ("{}", #"w: expected one of "red" "green", found nothing"#),
        ] as [(String, String?)])
    func `a word`(text: String, expected: String?) { #expect(message(text) { _ = try $0.word("w", as: Colour.self) } == expected) }

    @Test(
        arguments: [
            (#"{"b":true}"#, nil), (#"{"b":1}"#, "b: expected true or false, found a whole number"),
            ("{}", "b: expected true or false, found nothing"),
        ] as [(String, String?)])
    func `true or false`(text: String, expected: String?) { #expect(message(text) { _ = try $0.bool("b") } == expected) }

    @Test(
        arguments: [
            (#"{"l":[]}"#, nil), (#"{"l":["a","b"]}"#, nil), (#"{"l":["a","b","c"]}"#, "l: expected at most 2 strings, found 3"),
            (#"{"l":[1]}"#, "l: expected a string of 1 to 4 bytes, found a whole number"),
            (#"{"l":"a"}"#, "l: expected a list of strings, found a string"),
            (#"{"l":[""]}"#, "l: expected a string of 1 to 4 bytes, found an empty string"),
            (#"{"l":null}"#, "l: expected a list of strings, found nothing"),
        ] as [(String, String?)])
    func `a list of strings`(text: String, expected: String?) {
        #expect(message(text) { _ = try $0.strings("l", atMost: 2, 1...4) } == expected)
    }

    @Test func `an inner object is named by its path`() {
        let message = message(#"{"a":{"b":{"c":0}}}"#) {
            var inner = try $0.object("a")
            var innermost = try inner.object("b")
            _ = try innermost.integer("c", 1...9)
        }
        #expect(message == "a.b.c: expected a whole number from 1 to 9, found 0")
    }

    @Test func `an unknown key of an inner object is named by its path`() {
        let message = message(#"{"a":{"x":1}}"#) { try $0.object("a").finish() }
        #expect(message == "a.x: expected no such key, found a whole number")
    }

    @Test func `what is optional may be absent or null, but not wrong`() throws {
        for text in ["{}", #"{"n":null,"s":null,"b":null,"w":null,"o":null}"#] {
            var reader = try reader(text)
            #expect(try reader.optionalInteger("n", 1...9) == nil && reader.optionalString("s", 1...2) == nil)
            #expect(try reader.optionalBool("b") == nil && reader.optionalWord("w", as: Colour.self) == nil)
            #expect(try reader.optionalObject("o") == nil)
            try reader.finish()
        }
        #expect(message(#"{"n":0}"#) { _ = try $0.optionalInteger("n", 1...9) } != nil)
        #expect(message(#"{"s":1}"#) { _ = try $0.optionalString("s", 1...2) } != nil)
        #expect(message(#"{"b":"true"}"#) { _ = try $0.optionalBool("b") } != nil)
        #expect(message(#"{"w":"blue"}"#) { _ = try $0.optionalWord("w", as: Colour.self) } != nil)
        #expect(message(#"{"o":[]}"#) { _ = try $0.optionalObject("o") } != nil)
    }

    @Test func `a key is read once`() throws {
        var reader = try reader(#"{"n":5}"#)
        _ = try reader.integer("n", 1...9)
        #expect(throws: JSONError("n", expected: "a whole number from 1 to 9", found: "nothing")) { try reader.integer("n", 1...9) }
    }
}
