import CLinux
import JSON
import Protocol

/// What the engine and its one container are started with.
public struct EngineSettings: Sendable {
    /// The folder for sockets, pid and log files; in RAM, at most 60 bytes long (containerd's sockets add to it).
    public var runFolder: String
    /// The folder on the drive that holds everything of the engine.
    public var dataRoot: String
    /// The folder on the drive whose files keep room for the engine.
    public var spareFolder: String
    /// The folder with the socket for the renter's `vault`, seen in the container as /run/sublet.
    public var doorFolder: String
    /// The shared mount on which the renter's vault is mounted, seen in the container as /vault.
    public var vaultFolder: String
    /// The bridge.
    public var bridge: String
    /// The container's address on it.
    public var containerAddress: String
    /// The base image, a tar.
    public var baseImage: String
    /// Memory for the container, MiB.
    public var memoryMiB: Int64
    /// Processors for the container, thousandths.
    public var milliProcessors: Int64
    /// Processes and threads in the container.
    public var pids: Int64
    /// The container's host name.
    public var hostName: String
    /// Name servers in the container.
    public var resolvers: [String]

    /// Settings.
    public init(
        runFolder: String, dataRoot: String, spareFolder: String, doorFolder: String, vaultFolder: String, bridge: String,
        containerAddress: String, baseImage: String, memoryMiB: Int64, milliProcessors: Int64, pids: Int64, hostName: String,
        resolvers: [String]
    ) {
        self.runFolder = runFolder
        self.dataRoot = dataRoot
        self.spareFolder = spareFolder
        self.doorFolder = doorFolder
        self.vaultFolder = vaultFolder
        self.bridge = bridge
        self.containerAddress = containerAddress
        self.baseImage = baseImage
        self.memoryMiB = memoryMiB
        self.milliProcessors = milliProcessors
        self.pids = pids
        self.hostName = hostName
        self.resolvers = resolvers
    }

    /// The container's name; there is one.
    static let container = "renter"
    /// The image's name.
    static let image = "sublet-base:current"

    var socket: String { runFolder + "/docker.sock" }
    var execRoot: String { runFolder + "/engine" }

    /// containerd's folder, files and socket, where a dockerd would put those of its own.
    var containerdFolder: String { execRoot + "/containerd" }
    var containerdConfig: String { containerdFolder + "/containerd.toml" }
    var containerdSocket: String { containerdFolder + "/containerd.sock" }

    /// containerd's, of a version that Debian 12 and 13 both know. Its plug-in `opt` would make a folder under /var/lib, which is not the drive.
    var containerdFile: String {
        """
        version = 2
        root = "\(dataRoot)/containerd"
        state = "\(containerdFolder)/daemon"
        disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
        [grpc]
        address = "\(containerdSocket)"

        """
    }

    var containerd: Daemon.Program {
        Daemon.Program(
            command: ["containerd", "--config", containerdConfig, "--log-level", "error"], mark: containerdConfig,
            pidFile: containerdFolder + "/containerd.pid", logFile: runFolder + "/containerd.log")
    }

    /// dockerd, private in every path, away from the owner's own engine and firewall. Its number we note ourselves: in a pid file of its own it would take
    /// another process's for that of its own kind.
    var dockerd: Daemon.Program {
        let command = [
            "dockerd", "--config-file", runFolder + "/daemon.json", "--data-root", dataRoot, "--exec-root", execRoot, "--pidfile", "",
            "--host", "unix://" + socket, "--containerd", containerdSocket, "--bridge", bridge, "--userns-remap", "default",
            "--iptables=false", "--ip-masq=false", "--userland-proxy=false", "--live-restore", "--storage-driver", "overlay2",
            "--log-level", "error",
        ]
        return Daemon.Program(command: command, mark: execRoot, pidFile: runFolder + "/dockerd.pid", logFile: runFolder + "/dockerd.log")
    }

    /// What root may do in the container, and what wants it; docs/renting.md has the same table. Of Docker's own list MKNOD and AUDIT_WRITE
    /// are left out: in a user namespace the kernel makes no device node and takes no audit message anyway.
    static let capabilities = [
        "CHOWN",  // packages give their files to their users
        "DAC_OVERRIDE",  // root reads and writes the files of everybody
        "FOWNER",  // root changes the modes and times of everybody's files
        "FSETID",  // dpkg writes programs with set-user-id bits
        "KILL",  // root ends everybody's processes
        "NET_BIND_SERVICE",  // servers on ports below 1024
        "NET_RAW",  // ping, traceroute; the walls hold whatever is sent
        "SETFCAP",  // dpkg gives capabilities to programs such as ping
        "SETGID",  // sshd, sudo, cron and services become other users
        "SETPCAP",  // services give up capabilities for good
        "SETUID",  // as SETGID
        "SYS_CHROOT",  // sshd's separated half, and services that lock themselves in
    ]

    /// No core dumps; and open files, which runc, without rights in the host by then, can only set as high as dockerd's own.
    private var ulimits: [(name: String, soft: Int64, hard: Int64)] {
        let files = min(65_536, Int64(clinux_open_files_limit()))
        return [("core", 0, 0), ("nofile", min(1_024, files), files)]
    }

    /// The container as `POST /containers/create` wants it. Where processors or memory become scarce, the device's own work comes first: the
    /// container has a quarter of a usual weight, and is where the kernel looks first for something to end (a renter may change that down to
    /// 0, no further; governor, engine and tunnel are below).
    var creation: JSON {
        let limits: [JSON.Member] = [
            .init("Init", .bool(true)), .init("Memory", .integer(memoryMiB << 20)), .init("MemorySwap", .integer(memoryMiB << 20)),
            .init("NanoCpus", .integer(milliProcessors * 1_000_000)), .init("CpuShares", .integer(256)), .init("PidsLimit", .integer(pids)),
            .init("OomScoreAdj", .integer(500)),
            .init(
                "Ulimits",
                .array(
                    ulimits.map {
                        .object([.init("Name", .string($0.name)), .init("Soft", .integer($0.soft)), .init("Hard", .integer($0.hard))])
                    })),
        ]
        let rest: [JSON.Member] = [
            .init("Privileged", .bool(false)),
            .init("CapDrop", .array([.string("ALL")])), .init("CapAdd", .array(Self.capabilities.map { .string($0) })),
            .init("RestartPolicy", .object([.init("Name", .string("unless-stopped"))])),
            .init("Dns", .array(resolvers.map { .string($0) })),
            // Nobody reads what the renter's first process says; kept, it would be dockerd's work and, on a full drive, its complaints in RAM.
            .init("LogConfig", .object([.init("Type", .string("none"))])),
            .init(
                "Mounts",
                .array([
                    .object([
                        .init("Type", .string("volume")), .init("Source", .string("data")), .init("Target", .string("/data")),
                    ]),
                    .object([
                        .init("Type", .string("bind")), .init("Source", .string(doorFolder)), .init("Target", .string("/run/sublet")),
                        .init("ReadOnly", .bool(true)),
                    ]),
                    // What is mounted there on the host appears in the container, and nothing the other way.
                    .object([
                        .init("Type", .string("bind")), .init("Source", .string(vaultFolder)), .init("Target", .string("/vault")),
                        .init("BindOptions", .object([.init("Propagation", .string("rslave"))])),
                    ]),
                ])),
        ]
        return .object([
            .init("Image", .string(Self.image)), .init("Hostname", .string(hostName)),
            .init("Cmd", .array([.string("/usr/local/sbin/sublet-start")])), .init("HostConfig", .object(limits + rest)),
        ])
    }
}

/// The file by which the container's start script makes the renter's account.
func accountFile(_ account: Account, keys: [String]) -> [UInt8] {
    var text = "user " + account.user + "\npassword " + account.password.revealText() + "\n"
    for key in keys { text += "sshkey " + key + "\n" }
    return Array(text.utf8)
}
