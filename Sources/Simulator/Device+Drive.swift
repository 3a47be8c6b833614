import GovernorCore
import MarketCore
import Protocol

/// A step on the drive, or the end of a service: one after another, as in the governor.
struct Step {
    /// Milliseconds that it takes.
    let takes: Int64
    let begin: () -> Void
    let end: () -> Void
}

// The slow and dangerous work, and the promises about what is on a drive.
extension Device {
    private func enqueue(takes: Int64, begin: @escaping () -> Void = {}, _ end: @escaping () -> Void) {
        steps.append(Step(takes: takes, begin: begin, end: end))
        nextStep()
    }

    private func nextStep() {
        guard !isBusy, !steps.isEmpty else { return }
        isBusy = true
        let step = steps.removeFirst()
        step.begin()
        after(step.takes) { [self] in
            isBusy = false
            step.end()
            nextStep()
        }
    }

    /// The stick that a step is about, if it is the one that is in.
    private func stick(of drive: String?) -> Stick? {
        guard let chosen, chosen.drive.identity == drive else { return nil }
        return chosen
    }

    /// Feeds what came of a step, unless the drive was pulled in the meantime.
    private func report(_ plug: Int, _ event: Event) { if plug == plugs { feed(event) } }

    func prepare(_ lease: LeaseID, _ account: Account) {
        let plug = plugs
        let drive = life?.tenancy?.drive
        let fails = universe.chance.per(mille: universe.faults.storageFails)
        var target: Stick?
        enqueue(
            takes: universe.chance.of(2_000...20_000),
            begin: { [self] in
                guard let found = stick(of: drive) else { return }
                target = found
                universe.promises.formats(found, for: lease, by: self)
                // The fresh key is on the card before the first byte is on the drive.
                universe.promises.losesKey(self, "replaces the key")
                card.key = lease
                found.content = .unknown
            },
            { [self] in
                guard let target, stick(of: drive) === target, !fails else { return report(plug, .storageFailed("format")) }
                target.content = .formatted(lease)
                mounted = lease
                report(plug, .storageReady)
            })
    }

    func open(_ lease: LeaseID) {
        let plug = plugs
        let drive = life?.tenancy?.drive
        let fails = universe.chance.per(mille: universe.faults.storageFails)
        enqueue(takes: universe.chance.of(500...5_000)) { [self] in
            guard let found = stick(of: drive), !fails else { return report(plug, .storageFailed("open")) }
            guard [.lease(lease), .formatted(lease)].contains(found.content), card.key == lease else {
                universe.promises.breaks(
                    "device \(number) can't open lease \(lease.text): \(found.content), key of \(card.key?.text ?? "none")")
                return report(plug, .storageFailed("no key"))
            }
            mounted = lease
            report(plug, .storageReady)
        }
    }

    func tearDown() {
        endServices()
        enqueue(takes: universe.chance.of(100...3_000)) { [self] in mounted = nil }
    }

    private func endServices() {
        engineRound += 1
        tunnelRound += 1
        isEngineWatched = false
        wantedTarget = nil
        enqueue(takes: universe.chance.of(10...500)) { [self] in
            universe.tunnels.close(connection)
            connection = nil
        }
        enqueue(takes: universe.chance.of(500...4_000)) { [self] in container = nil }
    }

    func destroyKey() {
        universe.promises.losesKey(self, "destroys the key")
        card.key = nil
    }

    func erase(_ lease: LeaseID?, _ drive: String) {
        let plug = plugs
        let fails = universe.chance.per(mille: universe.faults.eraseFails)
        endServices()
        var target: Stick?
        enqueue(
            takes: universe.chance.of(500...6_000),
            begin: { [self] in
                guard let found = stick(of: drive) else { return }
                target = found
                mounted = nil
                universe.promises.erases(found, by: self)
                universe.promises.losesKey(self, "destroys the key")
                card.key = nil
                found.content = .unknown
            },
            { [self] in
                guard let target, stick(of: drive) === target, !fails else {
                    // A drive that is pulled fails first, and is gone a moment later.
                    return after(3_000) { [self] in
                        guard plug == plugs else { return }
                        feed(.eraseFailed("not verified"))
                        lookAgain()
                    }
                }
                target.content = .clean
                let report = EraseReport(
                    method: .key, encryption: .luks2, drive: drive, bytes: target.drive.bytes, eraseMilliseconds: 1, checkMilliseconds: 1,
                    checks: ["no-header"])
                self.report(plug, .erased(report))
            })
    }
}
