import Protocol

/// A drive that may be used: known by its serial (or its path, where it is a file), not by the name it has today.
public struct Drive: Equatable, Sendable {
    /// Serial, WWID or path.
    public let identity: String
    /// Its size in bytes.
    public let bytes: Int64

    /// A drive.
    public init(identity: String, bytes: Int64) {
        self.identity = identity
        self.bytes = bytes
    }
}

/// What happened in the world.
public enum Event: Equatable, Sendable {
    /// The program runs; the journal was read before.
    case started
    /// A drive is there that may be used.
    case driveReady(Drive)
    /// The drive of this identity went away, or may not be used any more, for a reason.
    case driveGone(String, reason: String)
    /// Why there is no drive that may be used, in words for the owner.
    case driveWanted(String)
    /// The market has heard why we wait, and when it wants to hear it again, seconds.
    case waitingHeard(checkInSeconds: Int64)
    /// It has not.
    case waitingUnheard(String)
    /// How the drive of the running lease is.
    case driveHealth(DriveHealth)
    /// The answer to `drawLease`.
    case leaseDrawn(LeaseID)
    /// The market granted a lease.
    case registered(RegisterAnswer)
    /// The market could not be asked, or did not grant.
    case registrationFailed(String)
    /// The drive is unlocked and mounted.
    case storageReady
    /// It is not.
    case storageFailed(String)
    /// The renter's container runs.
    case containerUp
    /// It does not; the engine is at work on it.
    case containerDown(String)
    /// All three forwards stand.
    case tunnelUp
    /// They do not; the tunnel tries again by itself.
    case tunnelDown(String)
    /// The tunnel server refuses a port that is ours; the tunnel tries again by itself.
    case tunnelRefused(String)
    /// The market answered a check-in.
    case checkedIn(CheckInAnswer)
    /// It did not, or not sensibly. This never ends a lease.
    case checkInFailed(String)
    /// The market says, under its seal, that it knows no such lease; with its time.
    case leaseUnknown(UnixTime?)
    /// The drive is erased, and that was verified.
    case erased(EraseReport)
    /// It is not.
    case eraseFailed(String)
    /// The moment of the last `wake` has come.
    case deadline
    /// The owner says: try again now.
    case ownerActs
}

/// What the outer shell is to do, in this order. A journal must be on the card before anything after it is done.
public enum Action: Equatable, Sendable {
    /// Write the journal.
    case journal(Journal)
    /// Draw the name of a new lease from the kernel's random numbers.
    case drawLease
    /// Ask the market for this lease.
    case register(LeaseID)
    /// Give the drive a fresh key, format and mount it, and keep the renter's account there, where only this lease can read it. What was on
    /// it is gone.
    case prepareStorage(LeaseID, Account)
    /// Unlock, check and mount what is on the drive.
    case openStorage(LeaseID)
    /// Bring up engine, image and container, whatever is already there.
    case startContainer(LeaseID)
    /// Let these public keys log in.
    case authorize([String])
    /// Open the tunnel, or adopt it, or move it.
    case openTunnel(TunnelTarget)
    /// Tell the market where we stand.
    case checkIn(LeaseID, phase: DevicePhase, tunnel: TunnelState, fault: String?)
    /// Tell the market why there is no lease to offer.
    case tellWaiting(String)
    /// Tear down what stood on the drive that went away.
    case tearDown
    /// Destroy the lease's key; the drive may be away.
    case destroyKey(LeaseID)
    /// Close the tunnel, stop container and engine, unmount, destroy, verify. No lease: before a first tenant.
    case erase(LeaseID?, drive: String)
    /// Sign what an erase found, keep it, and send it until the market has it.
    case keepReceipt(LeaseID, finished: UnixTime?, EraseReport)
    /// Write a log line.
    case log(Note)
    /// Send `deadline` at this moment; nil: no deadline. The last one counts.
    case wake(Instant?)
}
