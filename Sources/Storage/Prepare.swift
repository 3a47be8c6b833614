import CLinux
import Platform

extension Volume {
    /// Gives the drive a fresh key, formats and mounts it. What was on it is gone; whether it may be formatted was decided before.
    public func prepare(_ tell: (StepProgress) -> Void) throws(StorageError) {
        try close()
        try makeFileIfNew()
        tell(StepProgress(step: "format", done: 0, total: 1))
        if isEncrypted {
            let key = try system { () throws(SystemError) in try Random.bytes(Luks.keyBytes) }
            try system { () throws(SystemError) in
                try Files.makeFolder(Files.parent(of: keyPath))
                // The key is on the card before anything is written with it: a power cut in between costs nothing.
                try Files.replace(keyPath, with: key, mode: 0o600)
            }
            let cpuinfo = try system { () throws(SystemError) in try Files.read("/proc/cpuinfo", limit: 8 << 20) }
            try Luks.format(path, key: key, cipher: .forProcessor(cpuinfo))
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
        if Mounts.at(mountPoint) != nil { return }
        if isEncrypted {
            if !Luks.isOpen(mapperName) {
                let key = try system { () throws(SystemError) in try Files.read(keyPath, limit: 1_024) }
                try Luks.open(path, key: key, as: mapperName)
            }
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
        for attempt in 0..<20 {
            var isLeft = false
            for entry in Mounts.within(mountPoint) where umount2(entry.point, Int32(UMOUNT_NOFOLLOW)) != 0 { isLeft = true }
            if !isLeft && Mounts.within(mountPoint).isEmpty { break }
            guard attempt < 19 else { throw StorageError("unmount " + mountPoint + ": still in use", code: EBUSY) }
            Holders.end(of: mountPoint)
            usleep(100_000)
        }
        for attempt in 0..<20 {
            do throws(StorageError) {
                try Luks.close(mapperName)
                break
            } catch {
                guard error.code == EBUSY, attempt < 19 else { throw error }
                Holders.end(of: mountPoint)
                usleep(100_000)
            }
        }
        try awaitRelease()
    }

    /// Unmounting is not the end: a container whose engine has died keeps the file system alive in a namespace of its own, and would go on
    /// writing. Ends it, and waits until the kernel has let go of the drive.
    private func awaitRelease() throws(StorageError) {
        var tries = 0
        while try isHeld() {
            guard tries < 50 else { throw StorageError(path + " is still in use by something that is not ours", code: EBUSY) }
            tries += 1
            Holders.end(of: mountPoint)
            usleep(100_000)
        }
    }

    /// Whether any mount in any namespace, a mapping or a loop device uses the drive. O_EXCL on a block device asks the kernel just that.
    private func isHeld() throws(StorageError) -> Bool {
        guard let status = try system({ () throws(SystemError) in try Files.status(path) }) else { return false }
        if clinux_is_regular(status.st_mode) { return LoopDevice.isBehindOne(file: path) }
        do throws(SystemError) { _ = try FileDescriptor.open(path, O_RDONLY | O_EXCL) } catch {
            guard error.code == EBUSY else { throw StorageError(error) }
            return true
        }
        return false
    }

    private func makeFileIfNew() throws(StorageError) {
        guard !Files.exists(path) else { return }
        guard let bytes = newFileBytes else { throw StorageError("nothing is at " + path, code: ENOENT) }
        try system { () throws(SystemError) in
            let file = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
            guard ftruncate(file.raw, off_t(bytes)) == 0 else { throw .last("ftruncate " + path) }
            try file.synchronize()
            try Files.synchronizeFolder(of: path)
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
        // Inode tables and journal are filled in later by the kernel: a renter should not wait for zeros.
        let features = "nodiscard,lazy_itable_init=1,lazy_journal_init=1"
        _ = try tool(["mkfs.ext4", "-q", "-F", "-m", "0", "-L", Volume.label, "-E", features, device])
    }

    private func check(_ device: String) throws(StorageError) {
        // 0: clean; 1: errors corrected. More is not for us to guess at.
        _ = try tool(["e2fsck", "-p", device], accepting: [0, 1])
    }

    private func mount(_ device: String) throws(StorageError) {
        try system { () throws(SystemError) in
            try Files.makeFolder(mountPoint, mode: 0o711)
            let flags = UInt(MS_NOSUID) | UInt(MS_NODEV) | UInt(MS_NOATIME)
            guard CLinux.mount(device, mountPoint, "ext4", flags, nil) == 0 else { throw .last("mount " + device) }
            guard chmod(mountPoint, 0o711) == 0 else { throw .last("chmod " + mountPoint) }
        }
    }
}

/// Processes that keep a mount alive from another mount namespace: a container's, or a shim left behind by a killed engine.
enum Holders {
    /// Kills every process, ours excepted, that has the folder among the sources of its mounts or works in it.
    static func end(of mountPoint: String) {
        let own = mountNamespace(of: "self")
        for name in Files.names(in: "/proc") {
            guard let pid = Int32(name), pid > 1, pid != getpid(), let identity = ProcessIdentity.of(pid) else { continue }
            if worksIn(mountPoint, pid) || (mountNamespace(of: name) != own && mountsFrom(mountPoint, pid)) { identity.send(SIGKILL) }
        }
    }

    private static func link(_ path: String) -> String {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        let count = buffer.withUnsafeMutableBytes { bytes in bytes.baseAddress.map { readlink(path, $0, 4_096) } ?? -1 }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : ""
    }

    private static func mountNamespace(of process: String) -> String { link("/proc/" + process + "/ns/mnt") }

    private static func worksIn(_ folder: String, _ pid: Int32) -> Bool {
        let inside = Array((folder + "/").utf8)
        var paths = [link("/proc/\(pid)/cwd"), link("/proc/\(pid)/exe"), link("/proc/\(pid)/root")]
        for descriptor in Files.names(in: "/proc/\(pid)/fd") { paths.append(link("/proc/\(pid)/fd/" + descriptor)) }
        return paths.contains { $0 == folder || $0.utf8.starts(with: inside) }
    }

    /// An overlay names its layers' folders in its options, a bind mount the source: either way the folder's path stands in mountinfo.
    private static func mountsFrom(_ folder: String, _ pid: Int32) -> Bool {
        guard let bytes = try? Files.read("/proc/\(pid)/mountinfo", limit: 8 << 20) else { return false }
        return contains(bytes, folder + "/")
    }
}
