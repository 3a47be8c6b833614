import Crypto
import Database
import JSON
import MarketCore
import Platform
import Protocol
import Web

/// The REST API over the rules: paths, authentication, strict bodies, sealed answers.
final class MarketDoor: WebHandler {
    private let database: Database
    private let world: HostWorld
    private let market: Market<Database, HostWorld>
    private let time: MarketTime
    private let log: Log
    /// When the log last said that the machine's clock is wrong, CLOCK_BOOTTIME nanoseconds; nil while it is right.
    private var clockToldAt: Int64?
    private var sweptAt: Int64 = 0

    /// Nanoseconds between two searches for leases whose time is up.
    private static let sweepInterval: Int64 = 2_000_000_000

    /// Nanoseconds between two complaints about the machine's clock.
    private static let complaintInterval: Int64 = 3_600_000_000_000

    init(database: Database, world: HostWorld, time: MarketTime, log: Log) {
        self.database = database
        self.world = world
        self.time = time
        self.log = log
        market = Market(store: database, world: world)
    }

    func beginRound() { database.beginBatch() }

    func endRound() -> Bool {
        do throws(MarketError) {
            try database.commitBatch()
            world.tell(log)
            return true
        } catch {
            world.forget()
            log.write(.error, .commitFailed, [LogField("why", reason(error))])
            return false
        }
    }

    func tick() {
        let now = Clock.bootNanoseconds()
        guard now - sweptAt >= Self.sweepInterval else { return }
        sweptAt = now
        watchClock(now)
        do throws(MarketError) {
            _ = try market.sweep(at: time.now())
            world.tell(log)
        } catch {
            world.forget()
            log.write(.error, .sweepFailed, [LogField("why", reason(error))])
        }
    }

    private func watchClock(_ now: Int64) {
        if let trouble = time.trouble() {
            if let clockToldAt, now - clockToldAt < Self.complaintInterval { return }
            clockToldAt = now
            log.write(.error, .clockJumped, [LogField("why", trouble)])
        } else if clockToldAt != nil {
            clockToldAt = nil
            log.write(.warning, .clockBack)
        }
    }

    private func reason(_ error: MarketError) -> String {
        switch error {
        case .refused(let refusal): refusal.message
        case .failed(let failure): failure.message
        }
    }

    func answer(_ request: WebRequest) -> WebAnswer {
        guard let route = Route(request.path) else { return refuse(Refusal(.notFound, "there is nothing at this path")) }
        guard request.method == route.method else {
            return refuse(Refusal(.methodNotAllowed, "this path takes " + route.method), [WebAnswer.Header("Allow", route.method)])
        }
        guard !request.hasQuery else { return refuse(Refusal(.badRequest, "this path takes no query")) }
        guard case .device(let id, let message) = route else { return status() }
        return answer(request, from: id, message)
    }

    private func status() -> WebAnswer {
        let body = JSON.object([.init("time", .integer(time.now().seconds)), .init("version", .string(marketVersion))])
        return plain(200, body.encoded())
    }

    private func answer(_ request: WebRequest, from id: DeviceID, _ message: Route.Message) -> WebAnswer {
        let device: DeviceRecord
        do throws(MarketError) {
            device = try market.authenticate(id, key: try bearer(request))
        } catch {
            guard case .refused(let refusal) = error else { return refuse(failed(error)) }
            return refuse(refusal, [WebAnswer.Header("WWW-Authenticate", "Bearer")])
        }
        guard let nonce = request.header("Sublet-Nonce"), isNonce(nonce) else {
            return refuse(Refusal(.badRequest, Door.nonce + ": expected 32 lower-case hex digits, new in every request"))
        }
        let seal = Seal(key: device.keyHash, nonce: nonce)
        do throws(MarketError) {
            return sealed(200, try perform(message, request, device).encoded(), seal)
        } catch { return sealed(error, seal) }
    }

    private func bearer(_ request: WebRequest) throws(MarketError) -> [UInt8] {
        let start = Array("Bearer ".utf8)
        guard let header = request.header("Authorization"), header.utf8.count == start.count + 64, header.utf8.starts(with: start) else {
            throw .refused(Market<Database, HostWorld>.unauthorized)
        }
        return Array(header.utf8.dropFirst(start.count))
    }

    /// Reads the body strictly and asks the rules.
    private func perform(_ message: Route.Message, _ request: WebRequest, _ device: DeviceRecord) throws(MarketError) -> JSON {
        guard let type = request.header("Content-Type"), isJSON(type) else {
            throw .refused(Refusal(.unsupportedMediaType, "the body is application/json"))
        }
        let now = time.now()
        let body = try read { () throws(JSONError) in try JSON.parse(request.body) }
        switch message {
        case .register:
            let message = try read { () throws(JSONError) in try RegisterRequest(body) }
            return try market.register(message, from: device.id, at: now).json
        case .checkIn:
            let message = try read { () throws(JSONError) in try CheckInRequest(body) }
            return try market.checkIn(message, from: device.id, at: now).json
        case .waiting:
            let message = try read { () throws(JSONError) in try WaitRequest(body) }
            return try market.note(message, from: device.id, at: now).json
        case .receipt:
            let message = try read { () throws(JSONError) in try Receipt(body) }
            return try market.keepReceipt(message, from: device.id, at: now).json
        }
    }

    private func read<Message>(_ body: () throws(JSONError) -> Message) throws(MarketError) -> Message {
        do throws(JSONError) { return try body() } catch { throw .refused(Refusal(.badRequest, error.message)) }
    }

    func tooLarge() -> WebAnswer { refuse(Refusal(.tooLarge, "a body has at most \(Door.bodyLimit) bytes")) }

    func lost(_ answer: WebAnswer) -> WebAnswer {
        let refusal = Refusal(.unavailable, "the market could not keep this; send it again")
        guard let seal = Seal(packed: answer.context) else { return refuse(refusal) }
        return sealed(.refused(refusal), seal)
    }

    /// An answer to a request of a known device.
    private func sealed(_ status: Int, _ body: [UInt8], _ seal: Seal, _ headers: [WebAnswer.Header] = []) -> WebAnswer {
        var answer = plain(status, body)
        answer.headers += headers
        answer.headers.append(WebAnswer.Header(Door.seal, seal.text(status, body)))
        // What was read in the round's transaction may not be told before it is durable: also a refusal can rest on it.
        answer.waitsForCommit = database.isWriting
        answer.context = seal.packed
        return answer
    }

    private func sealed(_ error: MarketError, _ seal: Seal) -> WebAnswer {
        let refusal = tellable(failed(error))
        return sealed(refusal.code.status, refusal.json.encoded(), seal, extra(refusal))
    }

    private func failed(_ error: MarketError) -> Refusal {
        if case .refused(let refusal) = error { return refusal }
        log.write(.error, .requestFailed, [LogField("why", reason(error))])
        return Refusal(.unavailable, "the market has a fault of its own; send it again")
    }

    private func refuse(_ refusal: Refusal, _ headers: [WebAnswer.Header] = []) -> WebAnswer {
        let refusal = tellable(refusal)
        var answer = plain(refusal.code.status, refusal.json.encoded())
        answer.headers += headers + extra(refusal)
        return answer
    }

    private func extra(_ refusal: Refusal) -> [WebAnswer.Header] {
        refusal.code == .unavailable ? [WebAnswer.Header("Retry-After", "30")] : []
    }

    private func plain(_ status: Int, _ body: [UInt8]) -> WebAnswer {
        WebAnswer(
            status: status,
            headers: [WebAnswer.Header("Content-Type", "application/json"), WebAnswer.Header("Cache-Control", "no-store")], body: body,
            waitsForCommit: false)
    }
}

/// The paths of the API.
enum Route: Equatable {
    case status
    case device(DeviceID, Message)

    /// What a device sends.
    enum Message: Equatable { case register, checkIn, waiting, receipt }

    init?(_ path: String) {
        if path == Door.base + "/status" {
            self = .status
            return
        }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 6, path.utf8.starts(with: Door.base.utf8), let id = DeviceID(String(parts[4])) else { return nil }
        switch path {
        case Door.register(id): self = .device(id, .register)
        case Door.checkIn(id): self = .device(id, .checkIn)
        case Door.waiting(id): self = .device(id, .waiting)
        case Door.receipts(id): self = .device(id, .receipt)
        default: return nil
        }
    }

    /// The one method it takes.
    var method: String { self == .status ? "GET" : "POST" }
}

/// What makes an answer provable to the device that asked: its key's hash and its nonce.
struct Seal {
    let key: [UInt8]
    let nonce: String

    init(key: [UInt8], nonce: String) {
        self.key = key
        self.nonce = nonce
    }

    /// Reads what `packed` wrote: 32 bytes of key, 32 of nonce.
    init?(packed: [UInt8]) {
        guard packed.count == 64 else { return nil }
        self.init(key: Array(packed[..<32]), nonce: String(decoding: packed[32...], as: UTF8.self))
    }

    var packed: [UInt8] { key + Array(nonce.utf8) }

    /// The value of the header `Door.seal`.
    func text(_ status: Int, _ body: [UInt8]) -> String {
        hexText(Crypto.authenticationCode(key: key, Door.sealed(nonce: nonce, status: status, body: body)))
    }
}

/// A refusal that its reader takes: at most 1,000 bytes and no control characters, whatever an asker sent that it quotes.
private func tellable(_ refusal: Refusal) -> Refusal {
    let bytes = refusal.message.utf8
    if bytes.count <= 1_000, bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) { return refusal }
    let clean = bytes.prefix(300).map { $0 >= 0x20 && $0 != 0x7F ? $0 : UInt8(ascii: "?") }
    return Refusal(refusal.code, String(decoding: clean, as: UTF8.self))
}

private func isNonce(_ text: String) -> Bool {
    text.utf8.count == 32
        && text.utf8.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
}

/// `application/json`, in any case, with or without parameters.
private func isJSON(_ type: String) -> Bool {
    let wanted = Array("application/json".utf8)
    let given = type.utf8.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }
    guard given.starts(with: wanted) else { return false }
    return given.count == wanted.count || given[wanted.count] == UInt8(ascii: ";") || given[wanted.count] == UInt8(ascii: " ")
}
