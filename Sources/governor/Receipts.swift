import CLinux
import EventLoop
import GovernorCore
import JSON
import MarketClient
import Platform
import Protocol

/// Wipe receipts: signed after a verified erase, kept on the card, and sent until the market has them.
final class Receipts {
    private let loop: EventLoop
    private let layout: Layout
    private let market: MarketClient
    private let device: DeviceID
    private let log: Log
    /// What could not be signed, or not be written; lost if the governor ends before it can.
    private var unsigned: [(lease: LeaseID, statement: [UInt8])] = []
    private var isSending = false

    init(loop: EventLoop, layout: Layout, market: MarketClient, device: DeviceID, log: Log) {
        self.loop = loop
        self.layout = layout
        self.market = market
        self.device = device
        self.log = log
    }

    private func path(_ lease: LeaseID) -> String { layout.receiptsFolder + "/" + lease.text + ".json" }

    /// Signs and keeps a receipt, and sends it.
    func keep(_ lease: LeaseID, finished: UnixTime?, _ report: EraseReport) {
        unsigned.append((lease, ReceiptStatement(lease: lease, device: device, finished: finished, report: report).json.encoded()))
        send()
    }

    /// Puts what is not signed yet on the card; what fails is tried again before the next sending.
    private func sign() {
        let tried = unsigned
        unsigned = []
        for (lease, statement) in tried {
            do throws(SystemError) { try sign(lease, statement) } catch {
                unsigned.append((lease, statement))
                trouble(lease, error.message)
            }
        }
    }

    /// `ssh-keygen -Y sign`, with the device's key.
    private func sign(_ lease: LeaseID, _ statement: [UInt8]) throws(SystemError) {
        let words = ["ssh-keygen", "-q", "-Y", "sign", "-f", layout.deviceKeyPath, "-n", ReceiptStatement.namespace]
        let outcome = try run(Command(words, input: statement))
        guard outcome.status == 0 else { throw SystemError(EIO, "ssh-keygen: " + outcome.reason) }
        let receipt = Receipt(
            lease: lease, statement: String(decoding: statement, as: UTF8.self), signature: String(decoding: outcome.output, as: UTF8.self))
        try Files.makeFolder(layout.receiptsFolder)
        try Files.replace(path(lease), with: receipt.json.encoded(), mode: 0o600)
    }

    /// Sends what is kept, one after another; what the market has, or will never take, is put aside.
    func send() {
        sign()
        sendNext()
    }

    private func sendNext() {
        guard !isSending, let lease = waiting() else { return }
        guard let bytes = try? Files.read(path(lease), limit: Door.bodyLimit), let receipt = try? Receipt(try JSON.parse(bytes)) else {
            return setAside(lease, "it can't be read")
        }
        isSending = true
        market.send(receipt) { [self] reply in
            isSending = false
            switch reply {
            case .answer:
                log.write(.info, id: LogEvent.receiptKept.rawValue, LogEvent.receiptKept.name, [LogField("lease", lease.text)])
                goOn(after: lease, unlink(path(lease)))
            case .refused(let refusal) where refusal.code != .unavailable: setAside(lease, refusal.message)
            case .refused(let refusal): trouble(lease, refusal.message)
            case .failed(let reason): trouble(lease, reason)
            }
        }
    }

    private func setAside(_ lease: LeaseID, _ reason: String) {
        trouble(lease, reason)
        goOn(after: lease, rename(path(lease), path(lease) + ".refused"))
    }

    /// Sends the next, if this one went out of the way: where the card takes no more changes it would be sent over and over.
    private func goOn(after lease: LeaseID, _ result: Int32) {
        guard result == 0 else { return trouble(lease, SystemError.last(path(lease)).message) }
        sendNext()
    }

    private func waiting() -> LeaseID? {
        for name in Files.names(in: layout.receiptsFolder) where name.utf8.count == 37 {
            if let lease = LeaseID(String(name.prefix(32))), name.utf8.suffix(5).elementsEqual(".json".utf8) { return lease }
        }
        return nil
    }

    private func trouble(_ lease: LeaseID, _ reason: String) {
        let fields = [LogField("lease", lease.text), LogField("reason", reason)]
        log.write(.warning, id: LogEvent.receiptFailed.rawValue, LogEvent.receiptFailed.name, fields)
    }
}
