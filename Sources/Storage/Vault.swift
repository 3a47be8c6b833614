import CCryptsetup
import CLinux
import Platform
import VaultProtocol

/// Why nothing came of a request, as the renter is told.
public struct VaultTrouble: Error, Equatable, Sendable {
    /// What the answer says.
    public let reason: VaultAnswer.Reason
    /// The sentence.
    public let message: String

    /// A trouble.
    public init(_ reason: VaultAnswer.Reason, _ message: String) {
        self.reason = reason
        self.message = message
    }

    /// A step that failed; a full drive by its name.
    init(_ failure: StorageError) { self.init(failure.code == ENOSPC ? .noRoom : .failed, failure.message) }
}

/// The renter's own encryption: a LUKS2 volume in a file on the lease's drive, opened by a passphrase that only the renter knows. The file lies
/// where the renter's machine can't see it; its file system is mounted on a shared mount, from which it comes into the running machine (rslave).
public struct Vault: Sendable {
    /// The file with the volume.
    public let path: String
    /// Where its file system is mounted; a shared mount of its own also while the vault is closed.
    public let mountPoint: String
    /// The name under /dev/mapper.
    public let mapperName: String
    /// The drive that holds the file.
    let drive: String
    /// Who is at work on it holds this file's lock, and has his number in it. In RAM.
    let lockPath: String
    /// The first process of the machine that it was opened in. In RAM.
    let recordPath: String

    /// The vault on a drive that is mounted at a folder, whether there is one or not.
    public init(drive: String, mapperName: String) {
        self.drive = drive
        self.mapperName = mapperName
        path = drive + "/vault.luks"
        mountPoint = drive + "/vault"
        lockPath = Files.parent(of: drive) + "/vault.lock"
        recordPath = Files.parent(of: drive) + "/vault.open"
    }

    /// Left free on the drive, bytes: the renter's machine must be able to go on.
    static let reserve: Int64 = 256 << 20
    /// The most memory that a passphrase's derivation takes, KiB.
    static let mostMemoryKiB: Int64 = 64 << 10

    var mapperPath: String { "/dev/mapper/" + mapperName }
    /// What `create` works on; it gets its name when all is done.
    var unfinishedPath: String { path + ".new" }

    /// Whether it is mounted.
    var isOpen: Bool { Mounts.all().contains { $0.point == mountPoint && $0.source == mapperPath } }
}

extension Volume {
    /// The vault on this drive, whether there is one or not.
    public var vault: Vault {
        let suffix = "-lease"
        let isOurs = mapperName.utf8.count > suffix.utf8.count && mapperName.utf8.suffix(suffix.utf8.count).elementsEqual(suffix.utf8)
        let stem = isOurs ? String(decoding: Array(mapperName.utf8.dropLast(suffix.utf8.count)), as: UTF8.self) : mapperName
        return Vault(drive: mountPoint, mapperName: stem + "-vault")
    }
}

extension Vault {
    /// Makes the folder that the renter's machine sees as /vault a shared mount of its own: what is mounted on it later comes into a machine
    /// that runs already. Nothing where it is one. The engine wants to find it so when it starts a container.
    func makePlace() throws(StorageError) {
        guard Mounts.at(mountPoint) == nil else { return }
        try system { () throws(SystemError) in
            try Files.makeFolder(mountPoint, mode: 0o555)
            // Nobody but the owner may write there while it is closed: it would lie on the drive, not in the vault.
            guard chmod(mountPoint, 0o555) == 0 else { throw .last("chmod " + mountPoint) }
            guard CLinux.mount(mountPoint, mountPoint, nil, UInt(MS_BIND), nil) == 0 else { throw .last("bind " + mountPoint) }
            // Private first: a bind of a shared mount would be its peer, and what is mounted here would be mounted there too.
            for kind in [MS_PRIVATE, MS_SHARED] where CLinux.mount("none", mountPoint, nil, UInt(kind), nil) != 0 {
                throw .last("share " + mountPoint)
            }
        }
    }

    /// How it is: state, bytes of the file, bytes that its files take.
    public func look() throws(VaultTrouble) -> (state: VaultState, size: Int64, used: Int64) {
        guard let status = try step({ () throws(SystemError) in try Files.status(path) }) else { return (.none, 0, 0) }
        let size = Int64(status.st_size)
        guard isOpen else { return (.closed, size, 0) }
        var system = statvfs()
        guard statvfs(mountPoint, &system) == 0 else { return (.open, size, 0) }
        return (.open, size, Int64(system.f_blocks - system.f_bfree) * Int64(system.f_frsize))
    }

    /// Makes it, with all its bytes reserved on the drive, and opens it. `owner` is the renter's user outside its machine, `container` the first
    /// process of that machine. `tell` gets how far it is, and gives it up by false.
    public func create(
        size: Int64, passphrase: borrowing LockedBytes, owner: UInt32, container: ProcessIdentity, tell: (StepProgress) -> Bool
    ) throws(VaultTrouble) {
        guard !Files.exists(path) else { throw VaultTrouble(.exists, "there is a vault already; vault forget destroys it") }
        try requireDeviceMapper()
        try removeUnfinished()
        let free = Int64(clamping: try step { () throws(SystemError) in try Files.freeBytes(at: drive) })
        guard size <= free - Self.reserve else {
            let most = max(0, free - Self.reserve) >> 20
            let isTooLittle = most < VaultWire.smallest >> 20
            throw VaultTrouble(.noRoom, "there is room for a vault of \(most) MiB at most" + (isTooLittle ? ": too little for one" : ""))
        }
        do throws(VaultTrouble) {
            try allocate(size, tell)
            _ = tell(StepProgress(step: "key", done: 0, total: 0))
            try note(container)
            try build(passphrase, owner: owner)
        } catch {
            // What was begun is of no use to anybody; the first trouble is the one to tell.
            do throws(VaultTrouble) { try removeUnfinished() } catch {}
            throw error
        }
    }

    /// Opens it with the passphrase, checks its file system and mounts it; nothing where it is open already.
    public func open(passphrase: borrowing LockedBytes, container: ProcessIdentity) throws(VaultTrouble) {
        guard Files.exists(path) else { throw VaultTrouble(.missing, "there is no vault; vault create makes one") }
        if isOpen { return }
        try requireDeviceMapper()
        try lock()
        try note(container)
        do throws(VaultTrouble) {
            try unlock(path, passphrase)
            try storage { () throws(StorageError) in
                // 0: clean; 1: errors corrected.
                _ = try tool(["e2fsck", "-p", mapperPath], accepting: [0, 1])
                try mount()
            }
        } catch {
            do throws(VaultTrouble) { try lock() } catch {}
            throw error
        }
    }

    /// Unmounts and locks it; nothing where it is closed. `inUse` while something in the renter's machine uses it.
    public func close() throws(VaultTrouble) {
        if isOpen, umount2(mountPoint, Int32(UMOUNT_NOFOLLOW)) != 0 {
            let failure = SystemError.last("unmount " + mountPoint)
            guard failure.code == EBUSY else { throw VaultTrouble(.failed, failure.message) }
            throw VaultTrouble(.inUse, "something still uses the vault: a shell that stands in it, or what lsof +f -- /vault lists")
        }
        try lock()
    }

    /// Destroys its key slots, overwrites its header and deletes its file.
    public func forget() throws(VaultTrouble) {
        guard Files.exists(path) else { throw VaultTrouble(.missing, "there is no vault") }
        try close()
        if Luks.hasHeader(path) { try storage { () throws(StorageError) in _ = try Luks.destroyKeySlots(path) } }
        try step { () throws(SystemError) in
            let file = try FileDescriptor.open(path, O_WRONLY)
            try writeZeros(file, 0..<min(16 << 20, Int64(try file.status().st_size)))
            _ = try Files.remove(path)
        }
    }

    // MARK: Steps

    private func requireDeviceMapper() throws(VaultTrouble) {
        guard Luks.isSupported() else {
            throw VaultTrouble(.unsupported, "this device's kernel has no device-mapper with dm-crypt: it can't hold a vault")
        }
    }

    /// Reserves every byte: a vault that can't take what it promises would lose data when the drive is full.
    private func allocate(_ size: Int64, _ tell: (StepProgress) -> Bool) throws(VaultTrouble) {
        let file = try step { () throws(SystemError) in try FileDescriptor.open(unfinishedPath, O_RDWR | O_CREAT | O_EXCL) }
        let piece: Int64 = 256 << 20
        var done: Int64 = 0
        while done < size {
            let count = min(piece, size - done)
            guard fallocate(file.raw, 0, off_t(done), off_t(count)) == 0 else {
                throw VaultTrouble(StorageError(.last("making room for the vault")))
            }
            done += count
            guard tell(StepProgress(step: "room", done: done, total: size)) else { throw VaultTrouble(.failed, "given up") }
        }
        try step { () throws(SystemError) in try file.synchronize() }
    }

    private func build(_ passphrase: borrowing LockedBytes, owner: UInt32) throws(VaultTrouble) {
        let cipher = try step { () throws(SystemError) in try Luks.Cipher.ofThisMachine() }
        let loop = try step { () throws(SystemError) in try LoopDevice(vault: unfinishedPath) }
        let device = loop.path
        do throws(StorageError) {
            try Luks.formatVault(device, passphrase: passphrase, cipher: cipher, memoryKiB: Self.memoryKiB())
        } catch { throw VaultTrouble(error) }
        try unlock(unfinishedPath, passphrase)
        try storage { () throws(StorageError) in
            let features = "nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=\(owner):\(owner)"
            _ = try tool(["mkfs.ext4", "-q", "-F", "-m", "0", "-L", "vault", "-E", features, mapperPath])
        }
        try step { () throws(SystemError) in
            guard rename(unfinishedPath, path) == 0 else { throw .last("rename " + unfinishedPath) }
            try Files.synchronizeFolder(of: path)
        }
        try storage { () throws(StorageError) in try mount() }
        _ = loop.path
    }

    /// Opens the volume of a file under /dev/mapper, through a loop device that goes with it.
    private func unlock(_ file: String, _ passphrase: borrowing LockedBytes) throws(VaultTrouble) {
        let loop = try step { () throws(SystemError) in try LoopDevice(vault: file) }
        do throws(StorageError) { try Luks.openVault(loop.path, passphrase: passphrase, as: mapperName) } catch {
            switch error.code {
            case EPERM: throw VaultTrouble(.wrongPassphrase, "wrong passphrase")
            case ENOMEM: throw VaultTrouble(.failed, "the device has too little memory for that just now; try again")
            default: throw VaultTrouble(error)
            }
        }
        // Held until the mapping holds it.
        _ = loop.path
    }

    private func mount() throws(StorageError) {
        try system { () throws(SystemError) in
            let flags = UInt(MS_NOSUID) | UInt(MS_NODEV) | UInt(MS_NOATIME)
            guard CLinux.mount(mapperPath, mountPoint, "ext4", flags, nil) == 0 else { throw .last("mount " + mapperPath) }
        }
    }

    /// The volume's key leaves the kernel. A file system that is not mounted has no users, but udev may look at a new volume for a moment.
    private func lock() throws(VaultTrouble) {
        try storage { () throws(StorageError) in
            try retryWhileBusy(30) { () throws(StorageError) in try Luks.close(mapperName) }
        }
        unlink(recordPath)
    }

    /// What a broken-off `create` left.
    private func removeUnfinished() throws(VaultTrouble) {
        if isOpen, umount2(mountPoint, Int32(UMOUNT_NOFOLLOW)) != 0 { throw VaultTrouble(StorageError(.last("unmount " + mountPoint))) }
        try lock()
        try step { () throws(SystemError) in _ = try Files.remove(unfinishedPath) }
    }

    /// A quarter of what is free, within 8 and 64 MiB: the derivation must not push out what the device needs.
    private static func memoryKiB() -> Int64 {
        let bytes = (try? Files.read("/proc/meminfo", limit: 65_536)) ?? []
        for line in bytes.split(separator: UInt8(ascii: "\n")) where line.starts(with: "MemAvailable:".utf8) {
            let digits = line.filter { (0x30...0x39).contains($0) }
            return max(8 << 10, min(mostMemoryKiB, (Int64(String(decoding: digits, as: UTF8.self)) ?? 0) / 4))
        }
        return 8 << 10
    }

    private func step<Value: ~Copyable>(_ body: () throws(SystemError) -> Value) throws(VaultTrouble) -> Value {
        do throws(SystemError) { return try body() } catch { throw VaultTrouble(StorageError(error)) }
    }

    private func storage(_ body: () throws(StorageError) -> Void) throws(VaultTrouble) {
        do throws(StorageError) { try body() } catch { throw VaultTrouble(error) }
    }
}
