import CLinux
import Commands
import Platform
import Protocol
import Storage

/// What this machine must have, checked before anything is changed; each lack is one line that says how to get it.
enum Needs {
    static func check(_ layout: Layout, _ config: Config) throws(CommandFailure) {
        guard Invocation.isRoot else { throw CommandFailure(.notPermitted, "must be root; try: sudo governor run") }
        let needed = config.network.usesNftables ? programs + [("nft", "nftables")] : programs
        for (program, package) in needed where !isInstalled(program) {
            throw lack("the program " + program, "apt-get install " + package)
        }
        try checkKernel()
        if config.drive.encryption == .luks2, !Luks.isSupported() {
            throw lack(
                "device-mapper with dm-crypt in this kernel",
                "modprobe dm-crypt, or, if anyone who holds the drive may read it, \"storage\": {\"encryption\": \"none\"}")
        }
        guard Files.exists(layout.baseImage) else {
            throw lack("the renter's base image " + layout.baseImage, "make base, or name it with --base")
        }
        guard layout.runFolder.utf8.count <= 60 else {
            throw CommandFailure(
                .usage,
                "--run: expected at most 60 bytes (unix sockets lie below it), found \(layout.runFolder.utf8.count)")
        }
        try checkRoom(config)
    }

    private static let programs = [
        ("dockerd", "docker.io"), ("ssh", "openssh-client"), ("ssh-keygen", "openssh-client"), ("ip", "iproute2"),
        ("mkfs.ext4", "e2fsprogs"), ("blkid", "util-linux"), ("newuidmap", "uidmap"),
    ]

    private static func isInstalled(_ program: String) -> Bool {
        let path = Invocation.environment("PATH") ?? "/usr/sbin:/usr/bin:/sbin:/bin"
        return path.utf8.split(separator: UInt8(ascii: ":")).contains {
            access(String(decoding: Array($0), as: UTF8.self) + "/" + program, X_OK) == 0
        }
    }

    private static func checkKernel() throws(CommandFailure) {
        let systems = (try? Files.read("/proc/filesystems", limit: 65_536)) ?? []
        let words = systems.split { $0 == 0x0A || $0 == 0x09 || $0 == 0x20 }
        for need in ["overlay", "ext4"] where !words.contains(where: { $0.elementsEqual(need.utf8) }) {
            // A module of that name may still wait to be loaded.
            let outcome = try? run(Command(["modprobe", need]))
            guard outcome?.status == 0 else { throw lack(need + " in this kernel", "a kernel with CONFIG_" + need) }
        }
        guard Files.exists("/sys/fs/cgroup/memory") || Files.exists("/sys/fs/cgroup/cgroup.controllers") else {
            throw lack("cgroups", "mount -t cgroup2 none /sys/fs/cgroup")
        }
        guard Files.exists("/proc/self/ns/user") else { throw lack("user namespaces in this kernel", "a kernel with CONFIG_USER_NS") }
    }

    private static func checkRoom(_ config: Config) throws(CommandFailure) {
        guard let path = config.drive.path, let bytes = config.drive.newFileBytes, !Files.exists(path) else { return }
        let folder = Files.parent(of: path)
        guard let free = try? Files.freeBytes(at: folder) else { throw lack("the folder " + folder, "mkdir -p " + folder) }
        guard free > UInt64(bytes) else {
            throw lack(
                "room for a drive of \(bytes >> 20) MiB in " + folder, "free \((UInt64(bytes) - free) >> 20) MiB, or a smaller \"sizeMiB\"")
        }
    }

    private static func lack(_ what: String, _ how: String) -> CommandFailure {
        CommandFailure(.unavailable, "this machine lacks " + what + "; get it: " + how)
    }
}
