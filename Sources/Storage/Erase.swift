import CLinux
import Platform
import Protocol

extension Volume {
    /// Closes, destroys and verifies. Any doubt is an error: the drive must then not be offered. Doing it again after a power cut is safe.
    ///
    /// `key`: destroys every key slot, overwrites the header and the key file; the data can't be read by anybody from then on.
    /// `discard`: tells the device to forget every block, and checks that all read as zero. `overwrite`: writes zeros over all of it.
    public func erase(_ method: EraseMethod, _ tell: (StepProgress) -> Void) throws(StorageError) -> EraseReport {
        let started = Clock.bootNanoseconds()
        try close()
        guard Files.exists(path) else {
            guard newFileBytes != nil else { throw StorageError("nothing is at " + path, code: ENOENT) }
            try system { () throws(SystemError) in _ = try Files.destroy(keyPath) }
            return EraseReport(
                method: method, encryption: encryption, drive: identity, bytes: 0, eraseMilliseconds: 0, checkMilliseconds: 0,
                checks: ["no-file"])
        }
        var checks: [String] = []
        let headerBytes = try destroyKey(&checks)
        let device = try system { () throws(SystemError) in try FileDescriptor.open(path, O_RDWR) }
        let bytes = try Inspect.size(of: device)
        try wipeEnds(device, bytes: bytes, headerBytes: headerBytes)
        if method != .key { try clear(device, bytes: bytes, method, tell) }
        let erased = Clock.bootNanoseconds()
        try verify(device, bytes: bytes, headerBytes: headerBytes, method, &checks, tell)
        return EraseReport(
            method: method, encryption: encryption, drive: identity, bytes: bytes, eraseMilliseconds: (erased - started) / 1_000_000,
            checkMilliseconds: (Clock.bootNanoseconds() - erased) / 1_000_000, checks: checks)
    }

    private var encryption: Encryption { isEncrypted ? .luks2 : .none }

    /// Destroys every copy of the key there is, on the drive and on the card, and checks that the old one opens nothing any more. Gives the
    /// length of the header in bytes; where there is none (any more), what our headers take.
    private func destroyKey(_ checks: inout [String]) throws(StorageError) -> Int64 {
        var headerBytes: Int64 = 16 << 20
        let key = try system { () throws(SystemError) in try Files.readIfPresent(keyPath, limit: 1_024) }
        if Luks.hasHeader(path) {
            headerBytes = max(headerBytes, try Luks.destroyKeySlots(path))
            if let key {
                guard try !Luks.accepts(path, key: key) else { throw StorageError("the old key still opens " + path) }
                checks.append("old-key-refused")
            }
        }
        try system { () throws(SystemError) in _ = try Files.destroy(keyPath) }
        checks.append("key-file-gone")
        return headerBytes
    }

    /// Overwrites the header, and the last MiB where partition tables and RAID members keep copies of theirs.
    private func wipeEnds(_ device: borrowing FileDescriptor, bytes: Int64, headerBytes: Int64) throws(StorageError) {
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        let raw = device.raw
        try system { () throws(SystemError) in
            var offset: Int64 = 0
            while offset < min(headerBytes, bytes) {
                try writeAll(raw, zeros, at: offset, atMost: bytes - offset)
                offset += Int64(zeros.count)
            }
            if bytes > Int64(zeros.count) { try writeAll(raw, zeros, at: bytes - Int64(zeros.count), atMost: Int64(zeros.count)) }
            guard fsync(raw) == 0 else { throw .last("fsync " + path) }
        }
    }

    private func clear(
        _ device: borrowing FileDescriptor, bytes: Int64, _ method: EraseMethod, _ tell: (StepProgress) -> Void
    ) throws(StorageError) {
        if method == .discard, discardAll(device.raw, bytes) { return }
        let zeros = [UInt8](repeating: 0, count: 4 << 20)
        let raw = device.raw
        var offset: Int64 = 0
        while offset < bytes {
            let here = offset
            try system { () throws(SystemError) in try writeAll(raw, zeros, at: here, atMost: bytes - here) }
            offset = min(bytes, offset + Int64(zeros.count))
            tell(StepProgress(step: "erase", done: offset, total: bytes))
        }
        guard fsync(raw) == 0 else { throw StorageError(.last("fsync " + path)) }
    }

    /// fallocate's hole in a file, BLKDISCARD on a device; false where it can't, or where a device only says it did.
    private func discardAll(_ raw: Int32, _ bytes: Int64) -> Bool {
        var status = stat()
        guard fstat(raw, &status) == 0 else { return false }
        if clinux_is_regular(status.st_mode) {
            return fallocate(raw, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, off_t(bytes)) == 0 && fsync(raw) == 0
        }
        guard clinux_block_discard(raw, 0, UInt64(bytes)) == 0 else { return false }
        _ = clinux_block_reread(raw)
        return sampleOffsets(bytes, count: 64).allSatisfy { isZero(raw, at: $0, 4_096) }
    }

    private func verify(
        _ device: borrowing FileDescriptor, bytes: Int64, headerBytes: Int64, _ method: EraseMethod, _ checks: inout [String],
        _ tell: (StepProgress) -> Void
    ) throws(StorageError) {
        let raw = device.raw
        _ = clinux_block_reread(raw)
        _ = posix_fadvise(raw, 0, 0, POSIX_FADV_DONTNEED)
        guard !Luks.hasHeader(path) else { throw StorageError("a LUKS header is still on " + path) }
        var offset: Int64 = 0
        while offset < min(headerBytes, bytes) {
            guard isZero(raw, at: offset, Int(min(1 << 20, bytes - offset))) else {
                throw StorageError("the header area of " + path + " still holds data at byte \(offset)")
            }
            offset += 1 << 20
        }
        checks += ["no-header", "header-zero"]
        guard method != .key else { return }
        try verifyZero(raw, bytes, tell)
        checks.append("all-zero")
    }

    /// Reads everything back; the holes of a file are known to be zero.
    private func verifyZero(_ raw: Int32, _ bytes: Int64, _ tell: (StepProgress) -> Void) throws(StorageError) {
        var offset: Int64 = 0
        while offset < bytes {
            let data = lseek(raw, off_t(offset), SEEK_DATA)
            if data < 0 {
                if clinux_errno() == ENXIO { return }
            } else {
                offset = max(offset, Int64(data))
            }
            let count = Int(min(4 << 20, bytes - offset))
            guard isZero(raw, at: offset, count) else { throw StorageError("data is still on " + path + " near byte \(offset)") }
            offset += Int64(count)
            tell(StepProgress(step: "verify", done: offset, total: bytes))
        }
    }
}

/// Offsets spread evenly over a device, aligned to 4 KiB.
private func sampleOffsets(_ bytes: Int64, count: Int64) -> [Int64] {
    (0..<count).map { bytes / count * $0 / 4_096 * 4_096 }
}

/// Whether a piece reads as zero; false where it can't be read.
private func isZero(_ raw: Int32, at offset: Int64, _ count: Int) -> Bool {
    var buffer = [UInt8](repeating: 0xFF, count: count)
    var filled = 0
    while filled < count {
        let got = buffer.withUnsafeMutableBytes { bytes in
            bytes.baseAddress.map { pread(raw, $0 + filled, count - filled, off_t(offset) + off_t(filled)) } ?? -1
        }
        guard got > 0 else { return false }
        filled += got
    }
    return buffer.withUnsafeBytes { bytes in bytes.allSatisfy { $0 == 0 } }
}

/// pwrite(2) of as much of the bytes as fits.
private func writeAll(_ raw: Int32, _ bytes: [UInt8], at offset: Int64, atMost room: Int64) throws(SystemError) {
    let count = Int(min(Int64(bytes.count), room))
    var done = 0
    while done < count {
        let put = bytes.withUnsafeBytes { buffer in
            buffer.baseAddress.map { pwrite(raw, $0 + done, count - done, off_t(offset) + off_t(done)) } ?? -1
        }
        if put > 0 { done += put } else if clinux_errno() != EINTR { throw .last("pwrite") }
    }
}
