import JSON
import Protocol
import Testing

/// Each message, byte for byte, both ways.
@Suite struct MessageTests {
    private let offered = LeaseTerms(
        lease: theLease, time: UnixTime(noon), state: .offered, expires: nil, checkInSeconds: 600, sshKeys: [], tunnel: theTunnel)
    private let rented = LeaseTerms(
        lease: theLease, time: UnixTime(noon), state: .rented, expires: UnixTime(noon + 7_200), checkInSeconds: 60,
        sshKeys: [edKey + " ä@b"], tunnel: theTunnel)
    private let report = EraseReport(
        method: .key, encryption: .luks2, drive: "stick-0001", bytes: 64 << 30, eraseMilliseconds: 24, checkMilliseconds: 6,
        checks: ["old-key-refused", "no-header"])

    @Test func `a request to register`() throws {
        let message = RegisterRequest(
            lease: theLease, tunnelKey: edKey, governor: "0.1.0",
            hardware: Hardware(architecture: "aarch64", processors: 4, memoryMiB: 8_192, storageMiB: 61_440, encryption: .luks2))
        #expect(text(message.json) == Wire.register)
        #expect(try RegisterRequest(parse(Wire.register)) == message)
    }

    @Test func `the answer to it, with the renter's account`() throws {
        let message = RegisterAnswer(terms: offered, account: Account(user: "renter", password: Secret(password)))
        #expect(text(message.json) == Wire.granted)
        #expect(try RegisterAnswer(parse(Wire.granted)) == message)
    }

    @Test func `the answer to it, without`() throws {
        #expect(text(RegisterAnswer(terms: offered, account: nil).json) == Wire.offered)
        #expect(try RegisterAnswer(parse(Wire.offered)) == RegisterAnswer(terms: offered, account: nil))
    }

    @Test func `why a device waits, and the answer`() throws {
        let message = WaitRequest(reason: "holds vfat")
        #expect(text(message.json) == #"{"reason":"holds vfat"}"#)
        #expect(try WaitRequest(parse(#"{"reason":"holds vfat"}"#)) == message)
        #expect(WaitRequest(reason: "Größe\n").reason == "Gr????e?" && WaitRequest(reason: "").reason == "?")
        #expect(WaitRequest(reason: String(repeating: "x", count: 999)).reason.utf8.count == WaitRequest.longest)
        #expect(throws: JSONError.self) { try WaitRequest(parse(#"{"reason":"\#(String(repeating: "x", count: 257))"}"#)) }
        let answer = WaitAnswer(time: UnixTime(noon), checkInSeconds: 600)
        #expect(try WaitAnswer(parse(text(answer.json))) == answer)
    }

    @Test func `a check-in`() throws {
        let message = CheckInRequest(lease: theLease, phase: .leased, tunnel: .up, start: 3, uptime: 4_242, fault: nil)
        #expect(text(message.json) == Wire.checkIn)
        #expect(try CheckInRequest(parse(Wire.checkIn)) == message)
    }

    @Test func `a check-in with a fault`() throws {
        let message = CheckInRequest(lease: theLease, phase: .suspended, tunnel: .refused, start: 1, uptime: 0, fault: "drive-gone")
        #expect(text(message.json) == Wire.faulty)
        #expect(try CheckInRequest(parse(Wire.faulty)) == message)
    }

    @Test func `the answer to a check-in, offered`() throws {
        #expect(text(CheckInAnswer(terms: offered).json) == Wire.offered)
        #expect(try CheckInAnswer(parse(Wire.offered)).terms == offered)
    }

    @Test func `the answer to a check-in, rented`() throws {
        #expect(text(CheckInAnswer(terms: rented).json) == Wire.rented)
        #expect(try CheckInAnswer(parse(Wire.rented)).terms == rented)
    }

    @Test func `the statement of a receipt: these bytes are signed`() throws {
        guard let device = DeviceID(deviceText) else { return #expect(Bool(false)) }
        let statement = ReceiptStatement(lease: theLease, device: device, finished: UnixTime(noon + 7_230), report: report)
        #expect(text(statement.json) == Wire.statement)
        #expect(try ReceiptStatement(parse(Wire.statement)) == statement)
        var unclocked = statement
        unclocked.finished = nil
        #expect(text(unclocked.json) == Wire.unclocked)
        #expect(try ReceiptStatement(parse(Wire.unclocked)) == unclocked)
    }

    @Test func `a report by itself, as the erasing child prints it`() throws {
        #expect(try EraseReport(ObjectReader(parse(Wire.erase))) == report)
        #expect(text(report.json) == Wire.erase)
    }

    @Test func `a receipt`() throws {
        let signature = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"
        let receipt = Receipt(lease: theLease, statement: Wire.statement, signature: signature)
        #expect(try Receipt(parse(text(receipt.json))) == receipt)
        #expect(text(receipt.json).utf8.allSatisfy { $0 >= 0x20 })
    }

    @Test func `the answer to a receipt`() throws {
        let answer = ReceiptAnswer(lease: theLease, time: UnixTime(noon + 7_231))
        #expect(text(answer.json) == Wire.receiptAnswer)
        #expect(try ReceiptAnswer(parse(Wire.receiptAnswer)) == answer)
    }

    @Test func `a refusal`() throws {
        let refusal = Refusal(.badRequest, "lease: expected 32 lower-case hex digits, found \"x\"")
        #expect(text(refusal.json) == Wire.refusal)
        #expect(try Refusal(parse(Wire.refusal)) == refusal)
    }

    @Test func `each code of a refusal has its status`() {
        #expect(Refusal.Code.allCases.map(\.status) == [400, 401, 404, 405, 409, 413, 415, 503])
    }

    @Test func `where the doors are`() {
        guard let device = DeviceID(deviceText) else { return #expect(Bool(false)) }
        #expect(Door.register(device) == "/api/v1/devices/\(deviceText)/register")
        #expect(Door.checkIn(device) == "/api/v1/devices/\(deviceText)/check-in")
        #expect(Door.receipts(device) == "/api/v1/devices/\(deviceText)/receipts")
    }

    @Test func `what a seal covers, byte for byte`() {
        #expect(Door.sealed(nonce: "ab", status: 200, body: Array("{}".utf8)) == Array("ab\n200\n{}".utf8))
    }

    @Test func `the longest answer that is allowed fits the body limit by far`() {
        var long = rented
        long.sshKeys = Array(repeating: edKey, count: 16)
        #expect(CheckInAnswer(terms: long).json.encoded().count < Door.bodyLimit / 8)
    }
}
