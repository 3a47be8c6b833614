import CLinux
import Platform
import Protocol

// Discarding and overwriting a whole drive: long work, which goes on where a power cut broke it off, and is read back at the end.
extension Volume {
    /// Where the mark of an overwrite lies, on the card beside the key.
    var markPath: String { Files.parent(of: keyPath) + "/erase-mark.json" }

    /// Discards everything; overwrites with zeros where the owner wants that, or the device can't discard or only says it did.
    func clear(
        _ device: borrowing FileDescriptor, bytes: Int64, _ method: EraseMethod, _ tell: (StepProgress) -> Void
    ) throws(StorageError) {
        if method == .discard, discard(device, bytes, tell) { return }
        do throws(SystemError) {
            var marked = EraseMark.read(markPath, drive: identity, bytes: bytes)
            try writeZeros(device, marked..<bytes) { done throws(SystemError) in
                tell(StepProgress(step: "erase", done: done, total: bytes))
                guard done - marked >= EraseMark.spacing else { return }
                // The mark is true only once what it speaks of is on the drive.
                try device.synchronize()
                try EraseMark(drive: identity, bytes: bytes, done: done).write(markPath)
                marked = done
            }
        } catch { throw StorageError(error.within("overwrite " + path)) }
    }

    /// fallocate's hole in a file, BLKDISCARD on a device; false where it can't, or where a device only says it did.
    func discard(_ device: borrowing FileDescriptor, _ bytes: Int64, _ tell: (StepProgress) -> Void) -> Bool {
        guard let status = try? device.status() else { return false }
        let isFile = clinux_is_regular(status.st_mode)
        // Not stride(): its step is an Int, which on a 32-bit board can't hold 4 GiB.
        let piece: Int64 = 4 << 30
        var done: Int64 = 0
        while done < bytes {
            let count = min(piece, bytes - done)
            let result =
                isFile
                ? fallocate(device.raw, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t(done), off_t(count))
                : clinux_block_discard(device.raw, UInt64(done), UInt64(count))
            guard result == 0 else { return false }
            done += count
            tell(StepProgress(step: "erase", done: done, total: bytes))
        }
        guard (try? device.synchronize()) != nil else { return false }
        forgetCached(device)
        for sample in 0..<Int64(64) {
            guard isZero(device, at: bytes / 64 * sample / 4_096 * 4_096, 4_096) else { return false }
        }
        return true
    }

    /// Reads everything back; the holes of a file are known to be zero. Where data is left, the next try starts from the beginning.
    func verifyZero(_ device: borrowing FileDescriptor, _ bytes: Int64, _ tell: (StepProgress) -> Void) throws(StorageError) {
        var offset: Int64 = 0
        while offset < bytes {
            let data = lseek(device.raw, off_t(offset), SEEK_DATA)
            if data < 0 {
                if clinux_errno() == ENXIO { break }
            } else {
                offset = max(offset, Int64(data))
            }
            let count = Int(min(4 << 20, bytes - offset))
            guard isZero(device, at: offset, count) else {
                try system { () throws(SystemError) in try EraseMark.forget(markPath) }
                throw StorageError("data is still on " + path + " near byte \(offset), or it can't be read")
            }
            offset += Int64(count)
            tell(StepProgress(step: "verify", done: offset, total: bytes))
        }
        tell(StepProgress(step: "verify", done: bytes, total: bytes))
    }
}

/// Writes zeros from one byte to another and makes them durable; tells after each 4 MiB how far it is.
func writeZeros(
    _ device: borrowing FileDescriptor, _ range: Range<Int64>, _ tell: (Int64) throws(SystemError) -> Void = { _ in }
) throws(SystemError) {
    let zeros = [UInt8](repeating: 0, count: 4 << 20)
    var done = range.lowerBound
    while done < range.upperBound {
        let count = Int(min(Int64(zeros.count), range.upperBound - done))
        try device.write(count == zeros.count ? zeros : Array(zeros[..<count]), at: done)
        done += Int64(count)
        try tell(done)
    }
    try device.synchronize()
}

/// What is read next comes from the drive and not from memory.
func forgetCached(_ device: borrowing FileDescriptor) {
    _ = clinux_block_reread(device.raw)
    _ = posix_fadvise(device.raw, 0, 0, POSIX_FADV_DONTNEED)
}

/// Whether a piece reads as zero; false where it can't be read.
func isZero(_ device: borrowing FileDescriptor, at offset: Int64, _ count: Int) -> Bool {
    guard let bytes = try? device.read(count, at: offset) else { return false }
    return bytes.withUnsafeBytes { all in all.allSatisfy { $0 == 0 } }
}
