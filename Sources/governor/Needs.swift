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
        try checkKernel(config)
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
        ("dockerd", "docker.io"), ("containerd", "containerd"), ("ssh", "openssh-client"), ("ssh-keygen", "openssh-client"),
        ("ip", "iproute2"), ("mkfs.ext4", "e2fsprogs"), ("blkid", "util-linux"), ("newuidmap", "uidmap"),
    ]

    private static func isInstalled(_ program: String) -> Bool {
        let path = Invocation.environment("PATH") ?? "/usr/sbin:/usr/bin:/sbin:/bin"
        return path.utf8.split(separator: UInt8(ascii: ":")).contains {
            access(String(decoding: Array($0), as: UTF8.self) + "/" + program, X_OK) == 0
        }
    }

    /// What can be tried is tried, and taken away again: a list of modules says nothing of a container's rights.
    private static func checkKernel(_ config: Config) throws(CommandFailure) {
        let systems = words("/proc/filesystems")
        for need in ["overlay", "ext4"] where !systems.contains(where: { $0.elementsEqual(need.utf8) }) {
            // A module of that name may still wait to be loaded.
            guard succeeds(["modprobe", need]) else { throw lack(need + " in this kernel", "modprobe " + need) }
        }
        if let path = config.drive.path, !path.utf8.starts(with: "/dev/".utf8), !canOpenLoops() {
            throw lack("loop devices, for a drive that is a file", "modprobe loop")
        }
        // Where our bridge stands already, all this was there when it was made.
        if !Files.exists("/sys/class/net/" + config.network.bridge) {
            for kind in ["bridge", "veth"] where !canMakeLink(kind) {
                throw lack("network links of type " + kind, "modprobe " + kind + ", or the right to make them (CAP_NET_ADMIN)")
            }
        }
        try checkControllers()
        guard words("/proc/sys/user/max_user_namespaces").first.map({ !$0.elementsEqual("0".utf8) }) ?? false else {
            throw lack("user namespaces", "sysctl -w user.max_user_namespaces=10000, or a kernel with CONFIG_USER_NS")
        }
    }

    /// Opening it loads the module where the node is there without it.
    private static func canOpenLoops() -> Bool {
        func opens() -> Bool { (try? FileDescriptor.open("/dev/loop-control", O_RDWR)) != nil }
        return opens() || succeeds(["modprobe", "loop"]) && opens()
    }

    /// In a network of its own, which goes with the program: to delete a link takes the kernel ten times as long as all of this.
    private static func canMakeLink(_ kind: String) -> Bool { succeeds(["unshare", "--net", "ip", "link", "add", "try", "type", kind]) }

    /// The limits of a renter's container: cgroups of the second version, or the first version's hierarchies.
    private static func checkControllers() throws(CommandFailure) {
        let second = words("/sys/fs/cgroup/cgroup.controllers")
        guard !second.isEmpty || Files.exists("/sys/fs/cgroup/memory") || Files.exists("/sys/fs/cgroup/pids") else {
            throw lack("cgroups", "mount -t cgroup2 none /sys/fs/cgroup")
        }
        for need in ["memory", "pids"] where !second.contains(where: { $0.elementsEqual(need.utf8) }) {
            guard Files.exists("/sys/fs/cgroup/" + need) else {
                throw lack(
                    "the cgroup controller " + need,
                    "cgroup_enable=" + need + " on the kernel's command line (a Raspberry Pi: cmdline.txt)")
            }
        }
    }

    private static func words(_ path: String) -> [ArraySlice<UInt8>] {
        ((try? Files.read(path, limit: 65_536)) ?? []).split { $0 == 0x0A || $0 == 0x09 || $0 == 0x20 }
    }

    private static func succeeds(_ words: [String]) -> Bool {
        let outcome = try? run(Command(words))
        return outcome?.status == 0
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
