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
        try retryWhileBusy(50, between: endUsers) { () throws(StorageError) in
            guard !isOpen || umount2(mountPoint, Int32(UMOUNT_NOFOLLOW)) == 0 else {
                throw StorageError("unmount " + mountPoint + ": still in use", code: EBUSY)
            }
        }
        try retryWhileBusy(50, between: endUsers) { () throws(StorageError) in try Luks.close(mapperName) }
        unlink(recordPath)
        _ = held.raw
    }

    /// Ends whatever keeps it open, by the device that its files are on: in the renter's machine they have other names.
    ///
    /// A machine that was started while the vault was open (its engine restarts it within 100 ms, and no governor may be there) has it among the
    /// mounts that it began with, which the kernel locks: nobody can unmount them there. Such a machine is ended; it comes back without.
    private func endUsers() {
        Holders.release(mountPoint)
        guard let device = DeviceNumber.of(node: mapperPath) else { return }
        let ours = userSpace(of: "self")
        for name in Files.names(in: "/proc") {
            guard let pid = Int32(name), pid > 1, pid != getpid(), let process = ProcessIdentity.of(pid) else { continue }
            let isRenters = userSpace(of: name) != ours
            if uses(device, pid) || isRenters && Mounts.all(of: name).contains(where: { $0.number == device }) { process.send(SIGKILL) }
        }
    }

    /// Whether a process has a file of it open or mapped, stands in it or runs from it.
    private func uses(_ device: DeviceNumber, _ pid: Int32) -> Bool {
        let folder = "/proc/\(pid)/"
        var paths = ["cwd", "root", "exe"].map { folder + $0 }
        for kind in ["fd/", "map_files/"] { paths += Files.names(in: folder + kind).map { folder + kind + $0 } }
        return paths.contains { path in
            guard let status = try? Files.status(path) else { return false }
            return DeviceNumber(status.st_dev) == device
        }
    }

    private func userSpace(of process: String) -> String { Holders.link("/proc/" + process + "/ns/user") }
}
