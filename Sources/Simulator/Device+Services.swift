import GovernorCore
import JSON
import MarketCore
import Protocol

// Engine, tunnel and messages.
extension Device {
    func startContainer(_ lease: LeaseID) {
        engineRound += 1
        isEngineWatched = true
        bringUp(lease, engineRound)
    }

    /// As the engine: what runs is adopted, what fails is tried again after a pause, until somebody stops it.
    private func bringUp(_ lease: LeaseID, _ round: Int) {
        let takes = container == lease ? universe.chance.of(50...500) : universe.chance.of(1_000...10_000)
        after(takes) { [self] in
            guard round == engineRound else { return }
            guard mounted == lease, !universe.chance.per(mille: universe.faults.engineFails) else {
                feed(.containerDown("start"))
                return after(universe.chance.of(500...60_000)) { [self] in if round == engineRound { bringUp(lease, round) } }
            }
            if container != lease { universe.promises.starts(lease, on: chosen, by: self) }
            container = lease
            if case .formatted? = chosen?.content { chosen?.content = .lease(lease) }
            feed(.containerUp)
        }
    }

    /// The renter's machine ends, whoever did that.
    func endContainer() {
        guard let lease = container, life != nil else { return }
        container = nil
        // A governor that has not taken the engine over does not hear of it.
        guard isEngineWatched else { return }
        engineRound += 1
        feed(.containerDown("it ended"))
        let round = engineRound
        after(universe.chance.of(500...5_000)) { [self] in if round == engineRound { bringUp(lease, round) } }
    }

    func openTunnel(_ target: TunnelTarget) {
        tunnelRound += 1
        if wantedTarget != target {
            universe.tunnels.close(connection)
            connection = nil
        }
        wantedTarget = target
        connect(target, tunnelRound, failures: 0)
    }

    private func connect(_ target: TunnelTarget, _ round: Int, failures: Int64) {
        after(universe.chance.of(50...2_000)) { [self] in
            guard round == tunnelRound, let lease = life?.tenancy?.lease else { return }
            if !universe.tunnels.has(connection) { connection = nil }
            if connection == nil, universe.tunnels.isUp, universe.isAllowed(target.ports, to: tunnelKey) {
                connection = universe.tunnels.connect(number, lease, target.ports)
                if connection == nil { feed(.tunnelRefused("port in use")) }
            }
            guard connection == nil else {
                feed(.tunnelUp)
                return watch(target, round)
            }
            if !universe.tunnels.isUp { feed(.tunnelDown("connection refused")) }
            after(min(60_000, 1_000 << min(failures, 6))) { [self] in
                if round == tunnelRound { connect(target, round, failures: failures + 1) }
            }
        }
    }

    /// The client notices that its server is gone, sooner or later.
    private func watch(_ target: TunnelTarget, _ round: Int) {
        after(60_000) { [self] in
            guard round == tunnelRound else { return }
            if universe.tunnels.has(connection) { return watch(target, round) }
            feed(.tunnelDown("the server ended"))
            connect(target, round, failures: 0)
        }
    }

    /// The connection breaks; the client notices at once.
    func breakTunnel() {
        guard let target = wantedTarget, connection != nil, life != nil else { return }
        universe.tunnels.close(connection)
        connection = nil
        tunnelRound += 1
        feed(.tunnelDown("reset"))
        connect(target, tunnelRound, failures: 0)
    }

    // MARK: The market

    /// Sends a message in the place of the one that is under way.
    private func tell(_ request: Request, _ hear: @escaping (Answer) -> Void) {
        message += 1
        let (asked, of) = (message, program)
        universe.send(request, from: self) { [self] answer in if asked == message, of == program { hear(answer) } }
    }

    func register(_ lease: LeaseID) {
        universe.promises.registers(self)
        let hardware = Hardware(architecture: "aarch64", processors: 4, memoryMiB: 1_024, storageMiB: 8_192, encryption: .luks2)
        tell(.register(RegisterRequest(lease: lease, tunnelKey: tunnelKey, governor: "0.1.0", hardware: hardware))) { [self] answer in
            switch answer {
            case .registered(let answer): feed(.registered(answer))
            case .refused(let refusal): feed(.registrationFailed(refusal.message))
            default: feed(.registrationFailed(Device.words(answer)))
            }
        }
    }

    func checkIn(_ lease: LeaseID, _ phase: DevicePhase, _ tunnel: TunnelState, _ fault: String?) {
        let request = CheckInRequest(
            lease: lease, phase: phase, tunnel: tunnel, start: life?.journal.starts ?? 0, uptime: instant.nanoseconds / 1_000_000_000,
            fault: fault)
        tell(.checkIn(request)) { [self] answer in
            switch answer {
            case .checkedIn(let answer):
                let of = program
                feed(.checkedIn(answer))
                if of == program, card.journal?.stage == .live { universe.promises.heard(answer.terms, at: universe.time) }
                sendReceipts()
            case .refused(let refusal) where refusal.code == .notFound: feed(.leaseUnknown(refusal.time))
            case .refused(let refusal): feed(.checkInFailed(refusal.message))
            default: feed(.checkInFailed(Device.words(answer)))
            }
        }
    }

    func tellWaiting(_ reason: String) {
        tell(.waiting(WaitRequest(reason: reason))) { [self] answer in
            switch answer {
            case .waited(let answer):
                feed(.waitingHeard(checkInSeconds: answer.checkInSeconds))
                sendReceipts()
            case .refused(let refusal): feed(.waitingUnheard(refusal.message))
            default: feed(.waitingUnheard(Device.words(answer)))
            }
        }
    }

    private static func words(_ answer: Answer) -> String {
        if case .failed(let reason) = answer { return reason }
        return "an answer to something else"
    }

    func keepReceipt(_ lease: LeaseID, _ finished: UnixTime?, _ report: EraseReport) {
        universe.promises.proves(lease, self)
        served += 1
        let statement = ReceiptStatement(lease: lease, device: id, finished: finished, report: report)
        let text = String(decoding: statement.json.encoded(), as: UTF8.self)
        card.receipts.removeAll { $0.lease == lease }
        card.receipts.append(Receipt(lease: lease, statement: text, signature: "signed with " + tunnelKey))
        sendReceipts()
    }

    /// Sends what is kept, one after another; what the market has, or will never take, is put aside.
    func sendReceipts() {
        guard !isSendingReceipt, let receipt = card.receipts.first else { return }
        isSendingReceipt = true
        let of = program
        universe.send(.receipt(receipt), from: self) { [self] answer in
            guard of == program else { return }
            isSendingReceipt = false
            switch answer {
            case .received: break
            case .refused(let refusal) where refusal.code != .unavailable: say("keeps its receipt: " + refusal.message)
            default: return
            }
            card.receipts.removeAll { $0.lease == receipt.lease }
            sendReceipts()
        }
    }
}

extension Universe {
    /// What sshd's AuthorizedKeysCommand would say: whether a key may listen on these ports now.
    func isAllowed(_ ports: ForwardPorts, to key: String) -> Bool {
        do throws(MarketError) {
            guard market.isUp, let line = try market.rules.authorizedKeys(for: key, at: time) else { return false }
            let bytes = Array(line.utf8)
            return ports.all.allSatisfy { port in
                let sought = Array(":\(port)\"".utf8)
                return bytes.indices.contains { bytes[$0...].starts(with: sought) }
            }
        } catch { return false }
    }
}
