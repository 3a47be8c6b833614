import Crypto
import EventLoop
import JSON
import Platform
import Protocol

/// What came of a message to the market.
public enum Reply<Answer> {
    /// An answer that the market made for this very message.
    case answer(Answer)
    /// A refusal that the market made for this very message.
    case refused(Refusal)
    /// Anything else, in words: no answer, a forged or garbled one, or one that makes no sense. It means nothing about any lease.
    case failed(String)
}

/// The market's REST API, from the device's side. Only answers that carry the market's seal are believed.
public final class MarketClient {
    private let loop: EventLoop
    private let server: String
    private let device: DeviceID
    private let key: Secret

    /// A client of the market at `server` (`https://host[:port]`), for this device and its key.
    public init(loop: EventLoop, server: String, device: DeviceID, key: Secret) {
        self.loop = loop
        self.server = server
        self.device = device
        self.key = key
    }

    /// Asks for a lease.
    @discardableResult
    public func register(_ request: RegisterRequest, _ completion: @escaping (Reply<RegisterAnswer>) -> Void) -> EventLoop.Token? {
        post(Door.register(device), request.json, { json throws(JSONError) in try RegisterAnswer(json) }, completion)
    }

    /// Tells that we live.
    @discardableResult
    public func checkIn(_ request: CheckInRequest, _ completion: @escaping (Reply<CheckInAnswer>) -> Void) -> EventLoop.Token? {
        post(Door.checkIn(device), request.json, { json throws(JSONError) in try CheckInAnswer(json) }, completion)
    }

    /// Tells why we ask for no lease.
    @discardableResult
    public func wait(_ request: WaitRequest, _ completion: @escaping (Reply<WaitAnswer>) -> Void) -> EventLoop.Token? {
        post(Door.waiting(device), request.json, { json throws(JSONError) in try WaitAnswer(json) }, completion)
    }

    /// Sends a wipe receipt.
    @discardableResult
    public func send(_ receipt: Receipt, _ completion: @escaping (Reply<ReceiptAnswer>) -> Void) -> EventLoop.Token? {
        post(Door.receipts(device), receipt.json, { json throws(JSONError) in try ReceiptAnswer(json) }, completion)
    }

    private func post<Answer>(
        _ path: String, _ body: JSON, _ read: @escaping (JSON) throws(JSONError) -> Answer,
        _ completion: @escaping (Reply<Answer>) -> Void
    ) -> EventLoop.Token? {
        let nonce: String
        do throws(SystemError) { nonce = try Random.hex(16) } catch {
            completion(.failed(error.message))
            return nil
        }
        var request = HTTPRequest("POST", server + path)
        request.headers = [
            "Content-Type: application/json", "Accept: application/json", Door.authorization + ": Bearer " + key.revealText(),
            Door.nonce + ": " + nonce,
        ]
        request.body = body.encoded()
        request.answerLimit = Door.bodyLimit
        return loop.send(request) { [key] result in
            switch result {
            case .failure(let failure): completion(.failed(failure.message))
            case .success(let answer): completion(Self.judge(answer, nonce: nonce, key: key, read))
            }
        }
    }

    /// Whether an answer is the market's, and what it says.
    static func judge<Answer>(
        _ answer: HTTPAnswer, nonce: String, key: Secret, _ read: (JSON) throws(JSONError) -> Answer
    ) -> Reply<Answer> {
        let code = Crypto.authenticationCode(
            key: Crypto.sha256(key.reveal()), Door.sealed(nonce: nonce, status: answer.status, body: answer.body))
        let seal = answer.header(Door.seal) ?? ""
        guard Crypto.areEqual(Array(seal.utf8), Array(hexText(code).utf8)) else {
            return .failed("status \(answer.status) without the market's seal: " + excerpt(answer.body))
        }
        do throws(JSONError) {
            let json = try JSON.parse(answer.body)
            if answer.status == 200 { return .answer(try read(json)) }
            return .refused(try Refusal(json))
        } catch {
            return .failed("status \(answer.status): " + error.message)
        }
    }

    /// What an answer says that nobody believes, for the log: a refusal's own words, which an owner must read whole (a device with a wrong key can't
    /// get a sealed one); of anything else the beginning.
    private static func excerpt(_ body: [UInt8]) -> String {
        guard !body.isEmpty else { return "an empty body" }
        if let json = try? JSON.parse(body), let refusal = try? Refusal(json) { return printable(refusal.text.utf8.prefix(200)) }
        return "\"" + printable(body.prefix(60)) + "\""
    }

    private static func printable(_ bytes: some Sequence<UInt8>) -> String {
        String(decoding: bytes.map { $0 >= 0x20 && $0 < 0x7F ? $0 : UInt8(ascii: " ") }, as: UTF8.self)
    }
}
