import CLinux
import Platform
import VaultProtocol

// Who works on the vault, in which machine it is open, and its end with that machine.

extension Vault {
    /// The right to work on the vault, for as long as the descriptor lives. `busy` where somebody else has it.
    public func takeLock() throws(VaultTrouble) -> FileDescriptor {
        do throws(SystemError) {
            let file = try FileDescriptor.open(lockPath, O_RDWR | O_CREAT)
            if try file.lock() {
                try sign(file)
                return file
            }
        } catch { throw VaultTrouble(.failed, error.message) }
        throw VaultTrouble(.busy, "another request for the vault is at work; try again in a moment")
    }

    /// Ends whoever works on it: the machine that it was for is gone.
    private func takeLockByForce() throws(StorageError) -> FileDescriptor {
        try system { () throws(SystemError) in
            let file = try FileDescriptor.open(lockPath, O_RDWR | O_CREAT)
            for _ in 0..<200 {
                if try file.lock() {
                    try sign(file)
                    return file
                }
                if let holder = identity(in: lockPath), holder != ProcessIdentity.ours { holder.send(SIGKILL) }
                usleep(50_000)
            }
            throw SystemError(EBUSY, "somebody works on the vault and does not end")
        }
    }

    private func sign(_ file: borrowing FileDescriptor) throws(SystemError) {
        guard ftruncate(file.raw, 0) == 0 else { throw .last("ftruncate " + lockPath) }
        try file.write(Array(text(ProcessIdentity.ours).utf8), at: 0)
    }

    /// The first process of the machine in which the vault is open; nil where it is open in none.
    public var container: ProcessIdentity? { identity(in: recordPath) }

    /// Notes the machine before the vault is opened in it: whatever happens then, its end is the vault's end.
    func note(_ container: ProcessIdentity) throws(VaultTrouble) {
        do throws(SystemError) { try Files.publish(recordPath, Array(text(container).utf8), mode: 0o600) } catch {
            throw VaultTrouble(.failed, error.message)
        }
    }

    private func text(_ process: ProcessIdentity) -> String { "\(process.pid) \(process.startTicks)\n" }

    private func identity(in path: String) -> ProcessIdentity? {
        let words = ((try? Files.read(path, limit: 64)) ?? []).split { $0 == 0x20 || $0 == 0x0A }
        guard words.count == 2, let pid = Int32(String(decoding: words[0], as: UTF8.self)), pid > 0,
            let ticks = UInt64(String(decoding: words[1], as: UTF8.self))
        else { return nil }
        return ProcessIdentity(pid: pid, startTicks: ticks)
    }

    /// Closes it whoever uses it: its machine has ended, or the drive is about to be closed. Nothing where it is closed.
    public func closeByForce() throws(StorageError) {
        // Nobody has ever worked on it since the boot.
        guard Files.exists(lockPath) || isOpen || Luks.isOpen(mapperName) else { return }
        let held = try takeLockByForce()
        for attempt in 0..<50 where isOpen {
            if umount2(mountPoint, Int32(UMOUNT_NOFOLLOW)) == 0 { break }
            guard attempt < 49 else { throw StorageError("unmount " + mountPoint + ": still in use", code: EBUSY) }
            endUsers()
            usleep(100_000)
        }
        for attempt in 0..<50 {
            do throws(StorageError) {
                try Luks.close(mapperName)
                break
            } catch {
                guard error.code == EBUSY, attempt < 49 else { throw error }
                endUsers()
                usleep(100_000)
            }
        }
        unlink(recordPath)
        _ = held.raw
    }

    /// Kills whoever has a file of the vault open, stands in it or runs from it, by the device that the files are on: in the renter's machine
    /// they have other names. And unmounts it in mount namespaces that began as copies of ours.
    private func endUsers() {
        Holders.release(mountPoint)
        var status = stat()
        guard stat(mapperPath, &status) == 0, clinux_is_block(status.st_mode) else { return }
        let device = status.st_rdev
        for name in Files.names(in: "/proc") {
            guard let pid = Int32(name), pid > 1, pid != getpid(), let process = ProcessIdentity.of(pid), uses(device, pid) else {
                continue
            }
            process.send(SIGKILL)
        }
    }

    private func uses(_ device: dev_t, _ pid: Int32) -> Bool {
        let folder = "/proc/\(pid)/"
        var paths = ["cwd", "root", "exe"].map { folder + $0 }
        for kind in ["fd/", "map_files/"] { paths += Files.names(in: folder + kind).map { folder + kind + $0 } }
        return paths.contains { path in
            var status = stat()
            return stat(path, &status) == 0 && status.st_dev == device
        }
    }
}
