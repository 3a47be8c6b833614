import Crypto
import GovernorCore
import JSON
import MarketCore
import Platform
import Protocol
import Simulator

@testable import EventLoop
@testable import MarketClient

/// What a message reads as, and is written as.
private func same<Message: Equatable>(_ json: JSON, _ read: (JSON) throws(JSONError) -> Message, _ write: (Message) -> JSON) -> Message? {
    do throws(JSONError) {
        let message = try read(json)
        expect((try? read(JSON.parse(write(message).encoded()))) == message, "written and read it is another")
        return message
    } catch {
        expect(error.message.utf8.count > 12, "an error without words")
        return nil
    }
}

/// What devices send: a market with one device takes or refuses it, and the device can read whatever it answers.
func fuzzRequest(_ input: [UInt8]) {
    guard let json = try? JSON.parse(input) else { return }
    let market = SmallMarket()
    // Each message alone, and in the order of the list where the input is one.
    for message in json.elements ?? [json] {
        market.hears(message, RegisterRequest.init, { $0.json }, market.rules.register, RegisterAnswer.init, { $0.json })
        market.hears(message, CheckInRequest.init, { $0.json }, market.rules.checkIn, CheckInAnswer.init, { $0.json })
        market.hears(message, WaitRequest.init, { $0.json }, market.rules.note, WaitAnswer.init, { $0.json })
        market.hears(message, Receipt.init, { $0.json }, market.rules.keepReceipt, ReceiptAnswer.init, { $0.json })
        _ = same(message, ReceiptStatement.init, { $0.json })
    }
}

/// The market's rules with a ledger in memory, one device and nine ports.
private final class SmallMarket {
    final class World: MarketWorld {
        func randomBytes(_ count: Int) throws(MarketError) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 * 37) } }
        func isFree(_ port: Int64, on host: TunnelHost) -> Bool { port != 20_001 }
        func isSigned(_ statement: String, _ signature: String, with key: String) throws(MarketError) -> Bool { true }
        func note(_ event: MarketEvent) {}
    }

    let rules = Market(store: MemoryLedger(), world: World())
    private let device: DeviceID
    private var now = UnixTime(1_800_000_000)

    init() {
        do throws(MarketError) {
            try rules.addOwner("olga", at: now)
            try rules.setTunnelHost(
                TunnelHost(
                    host: "tunnel.example", sshPort: 22, user: "tunnel", hostKey: "ssh-ed25519 " + edKey, bind: "0.0.0.0",
                    range: 20_000...20_008, isLocal: true))
            device = try rules.addDevice(owner: "olga", name: "pi", at: now).device.id
        } catch { fatalError("a market that does not open") }
    }

    /// A message, if the input reads as one, goes to the market; the device reads the market's answer.
    func hears<Message: Equatable, Answer>(
        _ json: JSON, _ read: (JSON) throws(JSONError) -> Message, _ write: (Message) -> JSON,
        _ rule: (Message, DeviceID, UnixTime) throws(MarketError) -> Answer,
        _ readAnswer: (JSON) throws(JSONError) -> Answer, _ writeAnswer: (Answer) -> JSON
    ) {
        guard let message = same(json, read, write) else { return }
        now = UnixTime(now.seconds + 600)
        do throws(MarketError) {
            let answer = writeAnswer(try rule(message, device, now))
            expect((try? readAnswer(answer)).map(writeAnswer) == answer, "an answer that the device can't read: " + answer.pretty())
        } catch {
            guard case .refused(let refusal) = error else { fatalError("the market has a fault of its own") }
            expect(refusal.message.utf8.count <= 70_000, "a refusal of \(refusal.message.utf8.count) bytes")
        }
    }
}

/// What the market answers: read the same again; believed only under its seal; and a device that is rented does nothing that can't be undone
/// by an answer about another lease.
func fuzzAnswer(_ input: [UInt8]) {
    let key = Secret(String(repeating: "k", count: 64))
    let nonce = String(repeating: "0", count: 32)
    func judged(_ status: Int, sealed: Bool) -> Reply<RegisterAnswer> {
        let code = Crypto.authenticationCode(key: Crypto.sha256(key.reveal()), Door.sealed(nonce: nonce, status: status, body: input))
        let seal = sealed ? hexText(code) : String(decoding: input.prefix(80), as: UTF8.self)
        let answer = HTTPAnswer(status: status, headerLines: [Door.seal + ": " + seal], body: input)
        return MarketClient.judge(answer, nonce: nonce, key: key, RegisterAnswer.init)
    }
    for status in [200, 409] {
        if case .failed(let words) = judged(status, sealed: true) { expect(isLine(words), "an error that is no line: " + words) }
        guard case .failed(let words) = judged(status, sealed: false) else { fatalError("believed without a seal") }
        expect(isLine(words), "an error that is no line: " + words)
    }
    guard let json = try? JSON.parse(input) else { return }
    if let answer = same(json, RegisterAnswer.init, { $0.json }) {
        RentedDevice.hears(.registered(answer), about: answer.terms)
    }
    if let answer = same(json, CheckInAnswer.init, { $0.json }) {
        RentedDevice.hears(.checkedIn(answer), about: answer.terms)
    }
    if let answer = same(json, WaitAnswer.init, { $0.json }) {
        RentedDevice.hears(.waitingHeard(checkInSeconds: answer.checkInSeconds), about: nil)
    }
    if let refusal = same(json, Refusal.init, { $0.json }) {
        RentedDevice.hears(.leaseUnknown(refusal.time), about: nil)
    }
    _ = same(json, ReceiptAnswer.init, { $0.json })
}
