import CLinux
import Platform

/// Bytes that must not be seen by anybody else: in memory of their own that is never swapped (mlock), in no core dump (MADV_DONTDUMP), and
/// wiped when their owner goes (explicit_bzero). They are never copied into an array or a string.
public struct LockedBytes: ~Copyable {
    /// How many bytes there is room for.
    public let capacity: Int
    /// How many there are.
    public private(set) var count = 0
    private let base: UnsafeMutableRawPointer

    /// Room for so many bytes, at least 1. ENOMEM or EPERM where they can't be locked.
    public init(capacity: Int) throws(SystemError) {
        precondition(capacity > 0)
        guard let base = clinux_map_memory(capacity) else { throw .last("mmap") }
        guard mlock(base, capacity) == 0, madvise(base, capacity, MADV_DONTDUMP) == 0 else {
            let failure = SystemError.last("locking \(capacity) bytes of memory")
            munmap(base, capacity)
            throw failure
        }
        self.capacity = capacity
        self.base = base
    }

    deinit {
        explicit_bzero(base, capacity)
        munmap(base, capacity)
    }

    /// The byte at an index below `count`.
    public subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < count)
        return base.load(fromByteOffset: index, as: UInt8.self)
    }

    /// Adds a byte; there must be room.
    public mutating func append(_ byte: UInt8) {
        precondition(count < capacity)
        base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    /// Adds bytes of another, from an index on; there must be room.
    public mutating func append(_ other: borrowing LockedBytes, from start: Int = 0) {
        precondition(start <= other.count && count + other.count - start <= capacity)
        (base + count).copyMemory(from: other.base + start, byteCount: other.count - start)
        count += other.count - start
    }

    /// Removes the last byte, and wipes it.
    public mutating func removeLast() {
        precondition(count > 0)
        count -= 1
        base.storeBytes(of: 0, toByteOffset: count, as: UInt8.self)
    }

    /// read(2) of at most `limit` bytes behind those that are there; how many came, 0 at the end.
    public mutating func read(from descriptor: Int32, upTo limit: Int) throws(SystemError) -> Int {
        let room = min(limit, capacity - count)
        while true {
            let got = CLinux.read(descriptor, base + count, room)
            if got >= 0 {
                count += got
                return got
            }
            if clinux_errno() != EINTR { throw .last("read") }
        }
    }

    /// write(2) until all is written.
    public borrowing func write(to descriptor: Int32) throws(SystemError) {
        var done = 0
        while done < count {
            let put = CLinux.write(descriptor, base + done, count - done)
            if put >= 0 { done += put } else if clinux_errno() != EINTR { throw .last("write") }
        }
    }

    /// Whether both hold the same bytes.
    public borrowing func equals(_ other: borrowing LockedBytes) -> Bool {
        count == other.count && memcmp(base, other.base, count) == 0
    }

    /// The bytes for a C call; they must not be kept.
    public borrowing func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        body(UnsafeRawBufferPointer(start: base, count: count))
    }
}
