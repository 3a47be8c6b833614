import Platform
import Testing
import VaultProtocol

/// Locked bytes of a text, for a passphrase.
private func locked(_ bytes: [UInt8]) throws -> LockedBytes {
    var locked = try LockedBytes(capacity: max(1, bytes.count))
    for byte in bytes { locked.append(byte) }
    return locked
}

private func plain(_ bytes: borrowing LockedBytes) -> [UInt8] { (0..<bytes.count).map { bytes[$0] } }

@Suite struct RequestTests {
    /// What is read from a frame without its length; the error's message where it is refused.
    private func read(_ frame: [UInt8]) throws -> (VaultVerb?, Int64, [UInt8], String) {
        let bytes = try locked(frame)
        do throws(VaultWireError) {
            let request = try VaultRequest(bytes)
            return (request.verb, request.size, plain(request.passphrase), "")
        } catch { return (nil, 0, [], error.message) }
    }

    @Test func `a frame is byte for byte what the description says`() throws {
        let frame = try VaultRequest.frame(.create, size: 10 << 30, passphrase: try locked(Array("geheimes".utf8)))
        #expect(plain(frame) == [0, 0, 0, 18, 1, 1, 0, 0, 0, 2, 0x80, 0, 0, 0] + Array("geheimes".utf8))
        let close = try VaultRequest.frame(.close, size: 0, passphrase: try LockedBytes(capacity: 1))
        #expect(plain(close) == [0, 0, 0, 10, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test(arguments: VaultVerb.allCases) func `what is written is read`(verb: VaultVerb) throws {
        let word = verb.wantsPassphrase ? Array("päßphrase \u{0}\n".utf8) : []
        let frame = plain(try VaultRequest.frame(verb, size: verb == .create ? 64 << 20 : 0, passphrase: try locked(word)))
        #expect(try frameLength(Array(frame[..<4])) == frame.count - 4)
        let (found, size, passphrase, trouble) = try read(Array(frame[4...]))
        #expect(trouble == "")
        #expect(found == verb)
        #expect(VaultRequest.verb(Array(frame[..<VaultRequest.verbBytes])) == verb)
        #expect(VaultRequest.verb(Array(frame[..<5])) == nil)
        #expect(size == (verb == .create ? 64 << 20 : 0))
        #expect(passphrase == word)
    }

    @Test func `the longest passphrase passes, one byte more does not`() throws {
        let head: [UInt8] = [1, 2, 0, 0, 0, 0, 0, 0, 0, 0]
        #expect(try read(head + [UInt8](repeating: 7, count: 512)).0 == .open)
        #expect(try read(head + [UInt8](repeating: 7, count: 513)).3.contains("1 to 512 bytes"))
    }

    /// Frames that nobody may take, and a word of why not.
    static let refused: [([UInt8], String)] = [
        ([], "version"), ([1], "verb"), ([0, 4, 0, 0, 0, 0, 0, 0, 0, 0], "version"), ([2, 4, 0, 0, 0, 0, 0, 0, 0, 0], "version"),
        ([1, 4, 0, 0, 0], "verb"), ([1, 0, 0, 0, 0, 0, 0, 0, 0, 0], "verb"), ([1, 6, 0, 0, 0, 0, 0, 0, 0, 0], "verb"),
        // open without a passphrase, create with one too short, close with one
        ([1, 2, 0, 0, 0, 0, 0, 0, 0, 0], "1 to 512"), ([1, 1, 0, 0, 0, 2, 0x80, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7], "8 to 512"),
        ([1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 9], "0 to 0"),
        // sizes: none, too small, negative, for a verb that has none
        ([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8], "size"), ([1, 1, 0, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8], "size"),
        ([1, 1, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8], "size"), ([1, 4, 0, 0, 0, 0, 4, 0, 0, 0], "size"),
    ]

    @Test(arguments: refused) func `anything else is refused`(frame: [UInt8], word: String) throws {
        let (verb, _, _, trouble) = try read(frame)
        #expect(verb == nil)
        #expect(trouble.contains(word), "\(trouble)")
    }

    @Test(arguments: [
        [], [0], [0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0x10, 1], [0, 0x98, 0x96, 0x80], [0xFF, 0xFF, 0xFF, 0xFF],
    ])
    func `a length that no frame has is refused`(bytes: [UInt8]) {
        #expect(throws: VaultWireError.self) { try frameLength(bytes) }
    }

    @Test func `random bytes never get through as a create`() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            let frame = (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...5, using: &random) }
            let (verb, size, passphrase, _) = try read(frame)
            if verb == .create { #expect((64 << 20...1 << 50).contains(size) && passphrase.count >= 8) }
        }
    }
}

@Suite struct AnswerTests {
    @Test(arguments: VaultAnswer.Reason.allCases) func `what is written is read`(reason: VaultAnswer.Reason) throws {
        let kind: VaultAnswer.Kind = reason == .none ? .done : .failed
        let answer = VaultAnswer(kind, reason: reason, state: .open, size: 10 << 30, used: 12_345, text: "größer")
        let frame = answer.frame()
        #expect(try frameLength(Array(frame[..<4])) == frame.count - 4)
        #expect(try VaultAnswer(Array(frame[4...])) == answer)
    }

    @Test func `a frame is byte for byte what the description says`() {
        let frame = VaultAnswer(.failed, reason: .busy, state: .closed, size: 258, used: 1, text: "ab").frame()
        #expect(frame == [0, 0, 0, 22, 1, 3, 3, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0x61, 0x62])
    }

    @Test func `a long sentence is cut, and control characters can't reach a terminal`() throws {
        let frame = VaultAnswer(.done, text: String(repeating: "x", count: 9_999)).frame()
        #expect(frame.count == 4 + 20 + 1_024)
        let evil = VaultAnswer(.done, text: "a\u{1B}[2Jb\u{7F}").frame()
        #expect(try VaultAnswer(Array(evil[4...])).text == "a?[2Jb?")
    }

    @Test func `nonsense is refused`() {
        let good = Array(VaultAnswer(.done, text: "").frame()[4...])
        for (index, value) in [(0, 2), (1, 0), (1, 4), (2, 12), (3, 3), (2, 1), (4, 0x80), (12, 0xFF)] as [(Int, UInt8)] {
            var bad = good
            bad[index] = value
            #expect(throws: VaultWireError.self, "byte \(index) is \(value)") { try VaultAnswer(bad) }
        }
        #expect(throws: VaultWireError.self) { try VaultAnswer(Array(good.dropLast())) }
        #expect(throws: VaultWireError.self) { try VaultAnswer([]) }
        #expect(throws: VaultWireError.self) { try VaultAnswer(good + [UInt8](repeating: 0x20, count: 1_025)) }
    }
}
