import CLinux
import Platform
import Protocol

extension Volume {
    /// Closes, destroys and verifies. Any doubt is an error: the drive must then not be offered. Doing it again after a power cut is safe.
    ///
    /// `key`: destroys every key slot, overwrites the header and the key file; the data can't be read by anybody from then on.
    /// `discard`: tells the device to forget every block, and checks that all read as zero. `overwrite`: writes zeros over all of it.
    /// `probing`: before, finds out whether the drive has the size that it claims.
    public func erase(_ method: EraseMethod, probing: Bool = false, _ tell: (StepProgress) -> Void) throws(StorageError) -> EraseReport {
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
        if probing {
            try Probe.check(device, path, bytes)
            checks.append("size-true")
        }
        try wipeEnds(device, bytes: bytes, headerBytes: headerBytes)
        if method != .key { try clear(device, bytes: bytes, method, tell) }
        let erased = Clock.bootNanoseconds()
        try verify(device, bytes: bytes, headerBytes: headerBytes, method, &checks, tell)
        try system { () throws(SystemError) in try EraseMark.forget(markPath) }
        return EraseReport(
            method: method, encryption: encryption, drive: identity, bytes: bytes, eraseMilliseconds: (erased - started) / 1_000_000,
            checkMilliseconds: (Clock.bootNanoseconds() - erased) / 1_000_000, checks: checks)
    }

    /// What a header of ours takes, in bytes.
    private static let headerBytes: Int64 = 16 << 20

    private var encryption: Encryption { isEncrypted ? .luks2 : .none }

    /// Destroys every copy of the key there is, on the drive and on the card, and checks that the old one opens nothing any more. Gives the
    /// length of the header in bytes; where there is none (any more), what our headers take.
    private func destroyKey(_ checks: inout [String]) throws(StorageError) -> Int64 {
        var headerBytes = Self.headerBytes
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
        do throws(SystemError) {
            // The end first: a power cut in between must not leave somebody's backup label on what otherwise looks blank or ours.
            try writeZeros(device, max(0, bytes - (1 << 20))..<bytes)
            try writeZeros(device, 0..<min(headerBytes, bytes))
        } catch { throw StorageError(error.within("wipe the header of " + path)) }
    }

    private func verify(
        _ device: borrowing FileDescriptor, bytes: Int64, headerBytes: Int64, _ method: EraseMethod, _ checks: inout [String],
        _ tell: (StepProgress) -> Void
    ) throws(StorageError) {
        forgetCached(device)
        guard !Luks.hasHeader(path) else { throw StorageError("a LUKS header is still on " + path) }
        let end = min(headerBytes, bytes)
        for offset in stride(from: 0, to: end, by: 1 << 20) {
            guard isZero(device, at: offset, Int(min(1 << 20, end - offset))) else {
                throw StorageError("the header area of " + path + " still holds data at byte \(offset)")
            }
        }
        checks += ["no-header", "header-zero"]
        guard method != .key else { return }
        try verifyZero(device, bytes, tell)
        checks.append("all-zero")
    }

    /// Checks that nothing can be read on the drive any more, as after an erase by this method; changes nothing. What held, each a word.
    public func verifyErased(_ method: EraseMethod, _ tell: (StepProgress) -> Void) throws(StorageError) -> [String] {
        guard Mounts.at(mountPoint) == nil, !Luks.isOpen(mapperName) else { throw StorageError(path + " is in use", code: EBUSY) }
        let device = try system { () throws(SystemError) in try FileDescriptor.open(path, O_RDONLY) }
        var checks: [String] = []
        try verify(device, bytes: try Inspect.size(of: device), headerBytes: Self.headerBytes, method, &checks, tell)
        if Files.exists(keyPath) { throw StorageError("a lease's key is on the card: " + keyPath) }
        return checks + ["key-file-gone"]
    }
}
