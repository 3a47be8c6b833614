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
        guard let chosen, chosen.isPlugged, chosen.drive.identity == drive else { return nil }
        return chosen
    }

    /// Feeds what came of a step, unless the drive was pulled in the meantime.
    private func report(_ plug: Int, _ event: Event) { if plug == plugs { feed(event) } }

    /// What was on the drive is gone with the first byte. `end` gets the stick; nil where it failed or another is in its place.
    private func overwrite(
        _ drive: String?, takes: Int64, fails: Bool, begin: @escaping (Stick) -> Void, end: @escaping (Stick?) -> Void
    ) {
        var target: Stick?
        enqueue(
            takes: takes,
            begin: { [self] in
                target = stick(of: drive)
                guard let target else { return }
                begin(target)
                target.content = .unknown
            },
            { [self] in end(target != nil && stick(of: drive) === target && !fails ? target : nil) })
    }

    func prepare(_ lease: LeaseID) {
        let plug = plugs
        let fails = universe.chance.per(mille: universe.faults.storageFails)
        overwrite(
            life?.tenancy?.drive, takes: universe.chance.of(2_000...20_000), fails: fails,
            begin: { [self] stick in
                universe.promises.formats(stick, by: self)
                // The fresh key is on the card before the first byte is on the drive.
                universe.promises.losesKey(self, "replaces the key")
                card.key = lease
                // One that fails half-way leaves the drive open.
                mounted = lease
            },
            end: { [self] stick in
                guard let stick else {
                    if fails { loosen() }
                    return report(plug, .storageFailed("format"))
                }
                stick.content = .formatted(lease)
                report(plug, .storageReady)
            })
    }

    /// Why a step failed may be that its drive lost contact for a while.
    private func loosen() {
        guard let stick = chosen, universe.chance.once(in: 3) else { return }
        pull(stick)
        after(universe.chance.of(5_000...60_000)) { [self] in plug(stick) }
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

    func erase(_ drive: String) {
        let plug = plugs
        let fails = universe.chance.per(mille: universe.faults.eraseFails)
        endServices()
        overwrite(
            drive, takes: universe.chance.of(500...6_000), fails: fails,
            begin: { [self] stick in
                mounted = nil
                universe.promises.erases(stick, by: self)
                universe.promises.losesKey(self, "destroys the key")
                card.key = nil
            },
            end: { [self] stick in
                guard let stick else {
                    // A drive that is pulled fails first, and is gone a moment later.
                    return after(3_000) { [self] in
                        guard plug == plugs else { return }
                        feed(.eraseFailed("not verified"))
                        lookAgain()
                    }
                }
                stick.content = .clean
                let found = EraseReport(
                    method: .key, encryption: .luks2, drive: drive, bytes: stick.drive.bytes, eraseMilliseconds: 1, checkMilliseconds: 1,
                    checks: ["no-header"])
                report(plug, .erased(found))
            })
    }
}
