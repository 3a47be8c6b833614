import CLinux

/// An open file that is closed when its owner goes. The one place that holds a raw descriptor.
@frozen
public struct FileDescriptor: ~Copyable {
    /// The raw descriptor, for calls that only look at it; never close it.
    public let raw: Int32

    /// Takes over a descriptor that nobody else closes.
    public init(owning raw: Int32) { self.raw = raw }

    deinit { _ = close(raw) }

    /// Gives the descriptor to somebody else, who closes it.
    public consuming func release() -> Int32 {
        let raw = self.raw
        discard self
        return raw
    }

    /// open(2), always with O_CLOEXEC.
    public static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws(SystemError) -> FileDescriptor {
        while true {
            let raw = clinux_open(path, flags | O_CLOEXEC, mode)
            if raw >= 0 { return FileDescriptor(owning: raw) }
            let failure = SystemError.last("open " + path)
            if failure.code != EINTR { throw failure }
        }
    }

    /// pipe2(2) with O_CLOEXEC.
    public static func pipe() throws(SystemError) -> Pipe {
        var ends: (Int32, Int32) = (-1, -1)
        let result = withUnsafeMutablePointer(to: &ends) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) { pipe2($0, O_CLOEXEC) }
        }
        guard result == 0 else { throw .last("pipe2") }
        return Pipe(reading: FileDescriptor(owning: ends.0), writing: FileDescriptor(owning: ends.1))
    }

    /// read(2): at most `limit` bytes; empty at the end of the file. With a non-blocking descriptor EAGAIN is thrown.
    public borrowing func read(upTo limit: Int) throws(SystemError) -> [UInt8] {
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            while true {
                let got = CLinux.read(raw, buffer.baseAddress, limit)
                if got >= 0 {
                    count = got
                    return
                }
                if clinux_errno() != EINTR {
                    failure = .last("read")
                    count = 0
                    return
                }
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// pread(2) of exactly `count` bytes at `offset`; EIO where the file ends before.
    public borrowing func read(_ count: Int, at offset: Int64) throws(SystemError) -> [UInt8] {
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = 0
            while filled < count, let base = buffer.baseAddress {
                let got = pread(raw, base + filled, count - filled, off_t(offset) + off_t(filled))
                if got > 0 {
                    filled += got
                } else if got == 0 {
                    failure = SystemError(EIO, "pread: the file ends early")
                    return
                } else if clinux_errno() != EINTR {
                    failure = .last("pread")
                    return
                }
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// write(2) until all is written.
    public borrowing func write(_ bytes: [UInt8]) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            let put = bytes.withUnsafeBytes { buffer in
                buffer.baseAddress.map { CLinux.write(raw, $0 + done, bytes.count - done) } ?? 0
            }
            if put >= 0 {
                done += put
            } else if clinux_errno() != EINTR {
                throw .last("write")
            }
        }
    }

    /// pwrite(2) until all is written at `offset`.
    public borrowing func write(_ bytes: [UInt8], at offset: Int64) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            let put = bytes.withUnsafeBytes { buffer in
                buffer.baseAddress.map { pwrite(raw, $0 + done, bytes.count - done, off_t(offset) + off_t(done)) } ?? 0
            }
            if put >= 0 {
                done += put
            } else if clinux_errno() != EINTR {
                throw .last("pwrite")
            }
        }
    }

    /// fsync(2).
    public borrowing func synchronize() throws(SystemError) {
        while fsync(raw) != 0 {
            if clinux_errno() != EINTR { throw .last("fsync") }
        }
    }

    /// fstat(2).
    public borrowing func status() throws(SystemError) -> stat {
        var status = stat()
        guard fstat(raw, &status) == 0 else { throw .last("fstat") }
        return status
    }

    /// Makes reads and writes return EAGAIN instead of waiting.
    public borrowing func makeNonBlocking() throws(SystemError) {
        guard clinux_set_nonblocking(raw) >= 0 else { throw .last("fcntl O_NONBLOCK") }
    }

    /// Takes an advisory lock for as long as this descriptor lives; false where another process holds it.
    public borrowing func lock() throws(SystemError) -> Bool {
        if clinux_lock(raw) == 0 { return true }
        let failure = SystemError.last("lock")
        if failure.code == EAGAIN || failure.code == EACCES { return false }
        throw failure
    }
}

/// The two ends of a pipe.
public struct Pipe: ~Copyable {
    /// The end that is read.
    public let reading: FileDescriptor
    /// The end that is written.
    public let writing: FileDescriptor

    /// Gives both ends away.
    public consuming func ends() -> (reading: Int32, writing: Int32) { (reading.release(), writing.release()) }

    /// Joins two ends.
    init(reading: consuming FileDescriptor, writing: consuming FileDescriptor) {
        self.reading = reading
        self.writing = writing
    }
}
