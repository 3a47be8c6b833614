import CLinux
import Platform

/// A hold on a drive for the time of one look or one step.
///
/// An open descriptor keeps the kernel from giving the drive's name to another one that is plugged in meanwhile. The lock (flock(2) on
/// the node, as systemd's "Locking Block Device Access" has it) keeps other steps of ours away, and udev's own probing: right after the
/// plugging in that one has it for a moment.
public struct Grip: ~Copyable {
    private let device: FileDescriptor
    private let path: String
    private let isBlock: Bool

    /// Opens for reading and locks; a file is not locked, for libcryptsetup locks it in the same way. EWOULDBLOCK where another holds it for longer than the seconds given.
    public init(_ path: String, waitingSeconds: Int) throws(StorageError) {
        let device = try system { () throws(SystemError) in try FileDescriptor.open(path, O_RDONLY) }
        let isBlock = try system { () throws(SystemError) in clinux_is_block(try device.status().st_mode) }
        for attempt in 0...(waitingSeconds * 10) {
            if !isBlock || flock(device.raw, LOCK_EX | LOCK_NB) == 0 { break }
            let failure = SystemError.last("flock " + path)
            guard failure.code == EWOULDBLOCK || failure.code == EINTR else { throw StorageError(failure) }
            guard attempt < waitingSeconds * 10 else {
                throw StorageError("another step is at work on " + path + ", or it does not answer", code: EWOULDBLOCK)
            }
            usleep(100_000)
        }
        self.device = device
        self.path = path
        self.isBlock = isBlock
    }

    /// Reads from it.
    func read<Value>(_ body: (borrowing FileDescriptor) throws(SystemError) -> Value) throws(StorageError) -> Value {
        do throws(SystemError) { return try body(device) } catch { throw StorageError(error.within(path)) }
    }

    /// Whether nothing on this machine has it (`Block.isHeld`); a file is always free.
    func isFree() throws(StorageError) -> Bool { try isBlock ? !Block.isHeld(path) : true }
}
