import Protocol

// Drive, storage and erase: the events below the lease.
extension Lifecycle {
    mutating func driveReady(_ found: Drive, at now: Instant) {
        // Beside a drive in use another changes nothing: `drive` is where the end of the lease finds what to erase.
        if let drive, isDriveInUse, drive.identity != found.identity { return noteForeign(found, expected: drive.identity) }
        drive = found
        wanted = nil
        note(.driveReady, ["drive": found.identity, "bytes": "\(found.bytes)"])
        switch state {
        case .waiting(let held?):
            // An unrented lease is worth less than a working device: another drive takes its place, once the market has said that nobody
            // rented it in the meantime.
            if held.drive == found.identity { open(at: now) } else { contact.soon(at: now) }
        case .waiting: begin(with: found, at: now, givingUp: false)
        case .suspended(let tenancy):
            if tenancy.drive == found.identity { open(at: now) } else { noteForeign(found, expected: tenancy.drive) }
        case .erasing(let erasure), .quarantined(let erasure):
            if erasure.drive == found.identity {
                if case .erasing = state { startErase(at: now) } else { retryAt = now }
            } else {
                setAside(erasure, at: now)
            }
        case .registering, .preparing, .building, .offered, .leased: break
        }
    }

    /// A drive whose erase can't go on now gives way to the one that is here. Its key dies first.
    private mutating func setAside(_ erasure: Erasure, at now: Instant) {
        guard let drive, journal.owed.count < OwedErase.most else { return }
        var isQuarantined = false
        if case .quarantined = state { isQuarantined = true }
        note(.driveOwed, ["drive": erasure.drive, "reason": erasure.reason ?? "away"])
        if let lease = erasure.lease { act(.destroyKey(lease)) }
        write {
            $0.owe(OwedErase(drive: erasure.drive, lease: erasure.lease, failed: isQuarantined))
            if $0.stage != .cleaning { $0.forgetLease() }
        }
        contact.rest()
        eraseBackoff.succeed()
        begin(with: drive, at: now, givingUp: false)
    }

    /// Whether `drive` is the one that the state is about: asked for, lived on, being opened or erased.
    private var isDriveInUse: Bool {
        switch state {
        case .registering, .preparing, .building, .offered, .leased: true
        case .waiting(let held): held?.storageBusy ?? false
        case .suspended(let tenancy): tenancy.storageBusy
        case .erasing(let erasure): erasure.isRunning
        case .quarantined: false
        }
    }

    private mutating func noteForeign(_ found: Drive, expected: String) {
        note(.driveForeign, ["drive": found.identity, "expected": expected])
    }

    /// A drive without a lease: a clean one is offered, any other is erased first, even before its first tenant.
    mutating func begin(with drive: Drive, at now: Instant, givingUp: Bool) {
        if givingUp {
            write { $0.forgetLease() }
        }
        contact.rest()
        retryAt = nil
        guard journal.clean == drive.identity else {
            write {
                $0.stage = .cleaning
                $0.drive = drive.identity
                $0.clean = nil
            }
            state = .erasing(Erasure(lease: journal.owed(to: drive.identity)?.lease, drive: drive.identity))
            startErase(at: now)
            return
        }
        state = .registering(drive)
        if journal.lease == nil { act(.drawLease) } else { makeContact(at: now) }
    }

    /// Opens what is on the drive for the lease that is held or suspended.
    private mutating func open(at now: Instant) {
        guard let tenancy, !tenancy.storageBusy else { return }
        retryAt = nil
        changeTenancy { $0.storageBusy = true }
        act(.openStorage(tenancy.lease))
    }

    mutating func driveGone(_ identity: String, _ reason: String, at now: Instant) {
        guard drive?.identity == identity else { return }
        drive = nil
        note(.driveGone, ["drive": identity, "reason": reason])
        if let tenancy, tenancy.drive != identity { return }
        switch state {
        case .registering:
            contact.rest()
            state = .waiting(held: nil)
        case .preparing:
            // Nothing of a renter is on it; the market gives the same answer for the same lease again.
            contact.rest()
            act(.tearDown)
            state = .waiting(held: nil)
        case .building(let tenancy), .offered(let tenancy), .leased(let tenancy), .waiting(held: let tenancy?), .suspended(let tenancy):
            suspend(tenancy, "drive-gone", at: now)
            retryAt = nil
        case .erasing(var erasure):
            guard erasure.drive == identity else { return }
            erasure.isRunning = false
            state = .erasing(erasure)
            letGo(erasure)
        case .quarantined(let erasure): if erasure.drive == identity { letGo(erasure) }
        case .waiting: break
        }
    }

    /// As if the lease had ended without its drive: what the kernel still holds of it goes, and its key.
    mutating func letGo(_ erasure: Erasure) {
        act(.tearDown)
        if let lease = erasure.lease { act(.destroyKey(lease)) }
    }

    /// Ends what runs on the drive; the lease goes on when the drive does.
    private mutating func suspend(_ tenancy: Tenancy, _ fault: String, at now: Instant) {
        act(.tearDown)
        var left = Tenancy(lease: tenancy.lease, drive: tenancy.drive, target: tenancy.target)
        left.fault = fault
        state = journal.rented ? .suspended(left) : .waiting(held: left)
        contact.soon(at: now)
    }

    /// The kernel's word on the open drive. Read-only, it is closed, checked and opened anew, and for the first errors of a lease too; what else
    /// is wrong is told, and no more: a renter's machine is not to be restarted over and over.
    mutating func driveHealth(_ health: DriveHealth, at now: Instant) {
        guard isServed, let tenancy, tenancy.ailment != health else { return }
        if health == .good { note(.driveMended) } else { note(.driveFailing, ["drive": tenancy.drive, "reason": health.rawValue]) }
        guard health == .readOnly || health == .errors && mendBackoff.failures == 0 else {
            changeTenancy { $0.ailment = health }
            return contact.soon(at: now)
        }
        suspend(tenancy, health.rawValue, at: now)
        retryAt = mendBackoff.fail(at: now, &jitter)
    }

    mutating func storageReady(at now: Instant) {
        storageBackoff.succeed()
        guard let tenancy, tenancy.storageBusy, drive != nil else { return }
        note(.storageReady)
        changeTenancy {
            $0.storageBusy = false
            $0.fault = nil
        }
        if case .preparing = state { write { $0.stage = .live } }
        guard let ready = self.tenancy else { return }
        state = journal.rented ? .leased(ready) : .building(ready)
        act(.startContainer(ready.lease))
        if !journal.sshKeys.isEmpty { act(.authorize(journal.sshKeys)) }
        act(.openTunnel(ready.target))
        contact.soon(at: now)
    }

    mutating func storageFailed(_ reason: String, at now: Instant) {
        guard let tenancy, tenancy.storageBusy else { return }
        note(.storageFailed, ["reason": reason])
        retryAt = storageBackoff.fail(at: now, &jitter)
        if case .preparing = state {
            contact.rest()
            // It may stand open half-way, and may have failed because it was pulled: then nobody asks for it again.
            act(.tearDown)
            state = .waiting(held: nil)
            return
        }
        changeTenancy {
            $0.storageBusy = false
            $0.fault = "storage-failed"
        }
        contact.soon(at: now)
    }

    /// The time of a failed try has come.
    mutating func retry(at now: Instant) {
        switch state {
        case .waiting(held: nil): if let drive { begin(with: drive, at: now, givingUp: false) }
        case .waiting, .suspended: if drive?.identity == tenancy?.drive { open(at: now) }
        case .quarantined(let erasure):
            guard drive?.identity == erasure.drive else { return }
            write { $0.stage = $0.stage == .quarantined ? .erasing : .cleaning }
            state = .erasing(Erasure(lease: erasure.lease, drive: erasure.drive))
            startErase(at: now)
        case .registering, .preparing, .building, .offered, .leased, .erasing: break
        }
    }

    mutating func ownerActs(at now: Instant) {
        contact.again(at: now)
        guard retryAt != nil else { return }
        retryAt = nil
        retry(at: now)
    }

    /// The lease is over: its key dies now, the drive is erased now or when it is back.
    mutating func endLease(at now: Instant) {
        guard let tenancy else { return }
        write {
            $0.stage = .erasing
            $0.lease = tenancy.lease
            $0.drive = tenancy.drive
            $0.clean = nil
        }
        retryAt = nil
        state = .erasing(Erasure(lease: tenancy.lease, drive: tenancy.drive))
        if drive?.identity == tenancy.drive {
            startErase(at: now)
        } else {
            act(.tearDown)
            act(.destroyKey(tenancy.lease))
        }
        contact.soon(at: now)
        // Another drive may have been waiting for this.
        if let drive, drive.identity != tenancy.drive, case .erasing(let erasure) = state { setAside(erasure, at: now) }
    }

    mutating func startErase(at now: Instant) {
        guard case .erasing(var erasure) = state, !erasure.isRunning else { return }
        erasure.isRunning = true
        state = .erasing(erasure)
        note(.erasing, ["drive": erasure.drive])
        act(.erase(erasure.lease, drive: erasure.drive))
    }

    mutating func erased(_ report: EraseReport, at now: Instant) {
        guard case .erasing(let erasure) = state, erasure.isRunning else { return }
        eraseBackoff.succeed()
        note(.erased, ["method": report.method.rawValue, "ms": "\(report.eraseMilliseconds + report.checkMilliseconds)"])
        contact.rest()
        if let lease = erasure.lease { act(.keepReceipt(lease, finished: clock.time(at: now), report)) }
        write {
            if $0.stage == .cleaning {
                // A lease that was asked for but never reached the drive is asked for again under its name.
                $0.stage = $0.lease == nil ? .idle : .registering
                $0.drive = nil
            } else {
                $0.forgetLease()
            }
            $0.owed.removeAll { $0.drive == erasure.drive }
            $0.clean = erasure.drive
        }
        state = .waiting(held: nil)
        if let drive { begin(with: drive, at: now, givingUp: false) }
    }

    mutating func eraseFailed(_ reason: String, at now: Instant) {
        guard case .erasing(var erasure) = state, erasure.isRunning else { return }
        note(.eraseFailed, ["drive": erasure.drive, "reason": reason])
        erasure.isRunning = false
        erasure.reason = reason
        // A clean-up stays one: the lease in the journal, if any, never lived on this drive.
        write {
            guard $0.stage == .cleaning else { return $0.stage = .quarantined }
            if $0.owed.count < OwedErase.most { $0.owe(OwedErase(drive: erasure.drive, lease: erasure.lease, failed: true)) }
        }
        state = .quarantined(erasure)
        retryAt = eraseBackoff.fail(at: now, &jitter)
        contact.soon(at: now)
    }
}
