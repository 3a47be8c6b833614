import Platform
import VaultProtocol

/// The vault's messages, both ways: what is taken is, written again, the same bytes; and its limits hold.
func fuzzVault(_ input: [UInt8]) {
    fuzzRequestFrame(input)
    fuzzAnswerFrame(input)
    fuzzNotes(input)
}

private func fuzzRequestFrame(_ input: [UInt8]) {
    let verb = VaultRequest.verb(input)
    guard input.count >= 4, let length = try? frameLength(Array(input.prefix(4))) else { return }
    expect((2...VaultWire.frameLimit).contains(length), "a frame of \(length) bytes")
    guard input.count - 4 >= length, var frame = try? LockedBytes(capacity: VaultWire.frameLimit) else { return }
    for byte in input[4..<(4 + length)] { frame.append(byte) }
    do throws(VaultWireError) {
        let request = try VaultRequest(frame)
        expect(verb == request.verb, "a verb that changes")
        expect(request.verb.wantsPassphrase == (request.passphrase.count > 0), "a passphrase that is not wanted, or none")
        expect(request.passphrase.count <= VaultWire.longestPassphrase, "a passphrase that is too long")
        expect(request.size == 0 || (VaultWire.smallest...VaultWire.largest).contains(request.size), "\(request.size) bytes")
        guard let again = try? VaultRequest.frame(request.verb, size: request.size, passphrase: request.passphrase) else {
            fatalError("no memory to write it")
        }
        expect(again.withUnsafeBytes { $0.elementsEqual(input.prefix(4 + length)) }, "written it is another")
    } catch { expect(isLine(error.message), "an error that is no line") }
}

private func fuzzAnswerFrame(_ input: [UInt8]) {
    do throws(VaultWireError) {
        let answer = try VaultAnswer(input)
        expect(answer.text.isEmpty || isLine(answer.text), "words that do things to a terminal")
        let again = answer.frame()
        let length = try frameLength(Array(again.prefix(4)))
        expect(length == again.count - 4, "a frame that lies about its length")
        let copy = try VaultAnswer(Array(again.dropFirst(4)))
        expect(
            copy.kind == answer.kind && copy.reason == answer.reason && copy.state == answer.state && copy.size == answer.size
                && copy.used == answer.used,
            "written and read it is another")
        _ = (ByteSize.text(answer.size), ByteSize.text(answer.used))
    } catch { expect(isLine(error.message), "an error that is no line") }
}

private func fuzzNotes(_ input: [UInt8]) {
    if let bytes = ByteSize.read(String(decoding: input, as: UTF8.self)) {
        expect((0...VaultWire.largest).contains(bytes), "\(bytes) bytes")
        expect(isLine(ByteSize.text(bytes)), "no text")
    }
    guard var patience = VaultPatience(input) else { return }
    expect(VaultPatience(Array(patience.text.utf8)) == patience, "written and read it is another")
    for now in [0, 1_000_000_000, 1 << 55, Int64.max] {
        expect((0...60).contains(patience.secondsLeft(at: now)), "a pause of \(patience.secondsLeft(at: now)) s")
        patience.heardWrong(at: now)
    }
}
