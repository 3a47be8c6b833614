import CLinux
import Platform

extension Volume {
    /// Gives the drive a fresh key, formats and mounts it. What was on it is gone; whether it may be formatted was decided before.
    public func prepare(_ tell: (StepProgress) -> Void) throws(StorageError) {
        try close()
        try system { () throws(SystemError) in try EraseMark.forget(markPath) }
        try makeFileIfNew()
        tell(StepProgress(step: "format", done: 0, total: 1))
        if isEncrypted {
            let key = try system { () throws(SystemError) in try Random.bytes(Luks.keyBytes) }
            try system { () throws(SystemError) in
                try Files.makeFolder(Files.parent(of: keyPath))
                // The key is on the card before anything is written with it: a power cut in between costs nothing.
                try Files.replace(keyPath, with: key, mode: 0o600)
            }
            let cipher = try system { () throws(SystemError) in try Luks.Cipher.ofThisMachine() }
            try Luks.format(path, key: key, cipher: cipher)
            try Luks.open(path, key: key, as: mapperName)
            try makeFileSystem(on: mapperPath)
            try mount(mapperPath)
        } else {
            try withPlainDevice { device throws(StorageError) in
                try makeFileSystem(on: device)
                try mount(device)
            }
        }
        tell(StepProgress(step: "format", done: 1, total: 1))
    }

    /// Unlocks, checks and mounts what is on the drive; nothing where it is mounted already.
    public func open() throws(StorageError) {
        if Mounts.at(mountPoint) != nil { return try vault.makePlace() }
        // What stands open under its name without being mounted may be what is left of the drive as it was before it was pulled: nothing
        // can be read through that, and nobody else would close it.
        try close()
        if isEncrypted {
            let key = try system { () throws(SystemError) in try Files.read(keyPath, limit: 1_024) }
            try Luks.open(path, key: key, as: mapperName)
            try check(mapperPath)
            try mount(mapperPath)
        } else {
            try withPlainDevice { device throws(StorageError) in
                try check(device)
                try mount(device)
            }
        }
    }

    /// Ends what still holds the drive, unmounts it and what is mounted in it, and locks it. Nothing where it is closed already. An error
    /// where anything still uses the drive afterwards.
    public func close() throws(StorageError) {
        try vault.closeByForce()
        func release() { Holders.release(mountPoint) }
        try retryWhileBusy(20, between: release) { () throws(StorageError) in
            var isLeft = false
            for entry in Mounts.within(mountPoint) where umount2(entry.point, Int32(UMOUNT_NOFOLLOW)) != 0 { isLeft = true }
            guard !isLeft, Mounts.within(mountPoint).isEmpty else {
                throw StorageError("unmount " + mountPoint + ": still in use", code: EBUSY)
            }
        }
        try retryWhileBusy(20, between: release) { () throws(StorageError) in try Luks.close(mapperName) }
        // Unmounting is not the end: a container whose engine has died keeps the file system alive in a namespace of its own, and would go
        // on writing. It is ended, until the kernel has let go of the drive.
        try retryWhileBusy(50, between: release) { () throws(StorageError) in
            guard try !isHeld() else { throw StorageError(path + " is still in use by something that is not ours", code: EBUSY) }
        }
    }

    /// Whether anything still uses the drive; where a file serves as it, whether a loop device does.
    private func isHeld() throws(StorageError) -> Bool {
        guard let status = try system({ () throws(SystemError) in try Files.status(path) }) else { return false }
        return try clinux_is_regular(status.st_mode) ? LoopDevice.isBehindOne(file: path) : Block.isHeld(path)
    }

    /// Makes the file that serves as the drive, where the owner wants one and there is none yet. It gets its name when it is whole: an empty one,
    /// left by a fault or a power cut, would be no drive, and could not even be erased.
    func makeFileIfNew() throws(StorageError) {
        guard !Files.exists(path) else { return }
        guard let bytes = newFileBytes else { throw StorageError("nothing is at " + path, code: ENOENT) }
        try system { () throws(SystemError) in
            try Files.replace(path) { file throws(SystemError) in
                guard ftruncate(file.raw, off_t(bytes)) == 0 else { throw .last("ftruncate") }
            }
        }
    }

    /// The block device itself, or a loop device behind the file for as long as somebody uses it.
    private func withPlainDevice(_ body: (String) throws(StorageError) -> Void) throws(StorageError) {
        let status = try system { () throws(SystemError) in try Files.status(path) }
        if let status, clinux_is_regular(status.st_mode) {
            let loop = try system { () throws(SystemError) in try LoopDevice(file: path) }
            try body(loop.path)
        } else {
            try body(path)
        }
    }

    private func makeFileSystem(on device: String) throws(StorageError) {
        // Inode tables and journal are filled in later by the kernel: a renter should not wait for zeros. One per cent is kept from
        // what the renter writes in /data; what it writes elsewhere takes that too, and `Engine.Spare` keeps room from both.
        let features = "nodiscard,lazy_itable_init=1,lazy_journal_init=1"
        _ = try tool(["mkfs.ext4", "-q", "-F", "-m", "1", "-e", "remount-ro", "-L", Volume.label, "-E", features, device])
    }

    private func check(_ device: String) throws(StorageError) {
        // 0: clean; 1: errors corrected. More is not for us to guess at.
        _ = try tool(["e2fsck", "-p", device], accepting: [0, 1])
    }

    private func mount(_ device: String) throws(StorageError) {
        try system { () throws(SystemError) in
            try Files.makeFolder(mountPoint, mode: 0o711)
            let flags = UInt(MS_NOSUID) | UInt(MS_NODEV) | UInt(MS_NOATIME)
            // What the renter deletes is told to flash that wants to know it.
            let options = Block.canDiscard(device) ? "errors=remount-ro,discard" : "errors=remount-ro"
            guard CLinux.mount(device, mountPoint, "ext4", flags, options) == 0 else { throw .last("mount " + device) }
            guard chmod(mountPoint, 0o711) == 0 else { throw .last("chmod " + mountPoint) }
        }
        try vault.makePlace()
    }
}
