import Appliance
import JSON
import Testing

private let good = #"{"name":"attic","list":[1,2]}"#
private let value = JSON.object([.init("name", .string("attic")), .init("list", .array([.integer(1), .integer(2)]))])

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// A text as Windows' "Unicode" stores it, low byte first.
private func utf16(_ text: String, mark: [UInt8] = []) -> [UInt8] { mark + text.utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] } }

@Suite struct OwnersTextTests {
    @Test(arguments: [
        bytes(good), [0xEF, 0xBB, 0xBF] + bytes(good), bytes("{\r\n  \"name\": \"attic\",\r\n  \"list\": [1,\r\n 2]\r\n}\r\n"),
        [0xEF, 0xBB, 0xBF] + bytes("\r\n{\r\n\t\"name\": \"attic\", \"list\": [1, 2]}\r\n\r\n"),
    ])
    func `a byte order mark and Windows' line ends do no harm`(file: [UInt8]) throws { #expect(try OwnersText.parse(file) == value) }

    @Test func `other letters are read with the mark as without it`() throws {
        let file = #"{"name":"Dachböden 😀"}"#
        #expect(try OwnersText.parse([0xEF, 0xBB, 0xBF] + bytes(file))["name"]?.text == "Dachböden 😀")
        #expect(try OwnersText.parse(bytes(file))["name"]?.text == "Dachböden 😀")
    }

    static let wrong: [([UInt8], String)] = [
        ([], "expected JSON, found an empty file; copy it to the card again"),
        ([0xEF, 0xBB, 0xBF], "expected JSON, found an empty file; copy it to the card again"),
        (bytes(" \r\n\t\r\n"), "expected JSON, found an empty file; copy it to the card again"),
        ([UInt8](repeating: 0, count: 512), "expected JSON, found nothing but zero bytes: the file was not copied whole; copy it again"),
        (
            bytes("{\r\n\"name\":") + [UInt8](repeating: 0, count: 99),
            "expected JSON, found zero bytes from line 2, column 8: the file was not copied whole; copy it again"
        ),
        (utf16(good, mark: [0xFF, 0xFE]), "expected JSON in UTF-8, found a file saved as UTF-16; save it as UTF-8"),
        (utf16(good), "expected JSON in UTF-8, found a file saved as UTF-16; save it as UTF-8"),
        ([0xFE, 0xFF, 0x00] + bytes("{"), "expected JSON in UTF-8, found a file saved as UTF-16; save it as UTF-8"),
        ([0x00] + bytes("{"), "expected JSON in UTF-8, found a file saved as UTF-16; save it as UTF-8"),
        (
            bytes(#"{"name":"Dachb"#) + [0xF6] + bytes(#"den"}"#),
            "expected JSON in UTF-8, found a file saved in another encoding (\"ANSI\"); save it as UTF-8"
        ),
        (
            bytes("{\r\n  “name”: 1\r\n}"), "expected JSON, found a curly quote in line 2, column 3; use straight ones, \""
        ),
        (bytes("{\r\n  \"name\": x\r\n}"), "expected JSON, found unexpected character in line 2, column 11"),
        (bytes("server = https://market.example\n"), "expected JSON, found unexpected character in line 1, column 1"),
    ]

    @Test(arguments: wrong)
    func `what has happened to the file is said`(file: [UInt8], message: String) {
        #expect(throws: JSONError.self) { try OwnersText.parse(file) }
        do { _ = try OwnersText.parse(file) } catch { #expect(error.message == message) }
    }

    @Test(arguments: ["", "\u{FEFF}"]) func `a file that is cut off anywhere is told by its end`(mark: String) {
        let file = bytes(mark + "{\r\n  \"name\": \"Dachboden\",\r\n  \"list\": [1, 2]\r\n}")
        let first = mark.utf8.count + 1
        for count in first..<file.count {
            let error = #expect(throws: JSONError.self) { try OwnersText.parse(Array(file[..<count])) }
            #expect(
                error?.message.hasPrefix("expected JSON, found a text that ends too early, in line ") == true,
                "\(count): \(error?.message ?? "")")
            #expect(error?.message.hasSuffix("the file was not copied whole, or a closing \" or } is missing") == true)
        }
    }
}
