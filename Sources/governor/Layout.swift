import Commands
import Engine
import Fence
import JSON
import Platform
import Protocol
import Storage
import Tunnel

/// Where everything of a device lies: three paths, and what follows from them and the configuration.
struct Layout {
    /// The owner's file.
    var configPath = "/boot/firmware/device-config.json"
    /// On the card, kept for ever.
    var stateFolder = "/var/lib/sublet"
    /// In RAM, gone at a reboot.
    var runFolder = "/run/sublet"
    /// The renter's base image, a tar.
    var baseImage = "/usr/lib/sublet/base.tar"
    /// The board's facts.
    var boardPath = "/usr/lib/sublet/board"

    /// The options that name the places.
    static let options = ["--config", "--state", "--run", "--base", "--board"]

    /// The places from options, else the environment, else the usual ones.
    init(_ options: Options) {
        configPath = options.optional("--config") ?? Invocation.environment("SUBLET_CONFIG") ?? configPath
        stateFolder = options.optional("--state") ?? Invocation.environment("SUBLET_STATE") ?? stateFolder
        runFolder = options.optional("--run") ?? Invocation.environment("SUBLET_RUN") ?? runFolder
        baseImage = options.optional("--base") ?? Invocation.environment("SUBLET_BASE") ?? baseImage
        boardPath = options.optional("--board") ?? Invocation.environment("SUBLET_BOARD") ?? boardPath
    }

    /// The same places for a child of this program.
    var arguments: [String] {
        ["--config", configPath, "--state", stateFolder, "--run", runFolder, "--base", baseImage, "--board", boardPath]
    }

    /// Reads the owner's file; where it is wrong, one line says which key and what was expected.
    func config() throws(CommandFailure) -> Config {
        do throws(JSONError) { return try Config.read(configPath, Board.read(boardPath)) } catch {
            throw CommandFailure(.configuration, configPath + ": " + error.message)
        }
    }

    var journalPath: String { stateFolder + "/journal.json" }
    var deviceKeyPath: String { stateFolder + "/device_ed25519" }
    var leaseKeyPath: String { stateFolder + "/lease.key" }
    var receiptsFolder: String { stateFolder + "/receipts" }
    var statusPath: String { runFolder + "/status.json" }
    /// The same for the owner, and that it has changed.
    var ownersTextPath: String { runFolder + "/device-status.txt" }
    var ownersMarkPath: String { runFolder + "/device-status.changed" }
    /// The market's clock, for the next governor of this boot.
    var clockPath: String { runFolder + "/market-clock.json" }
    var lockPath: String { runFolder + "/governor.lock" }
    var storageLockPath: String { runFolder + "/storage.lock" }
    var mountPoint: String { runFolder + "/drive" }
    /// The folder that the renter's machine sees as /run/sublet; the folder, not the socket, so that a new governor's socket is seen too.
    var vaultFolder: String { runFolder + "/vault" }
    var vaultSocket: String { vaultFolder + "/vault.sock" }
    /// How many wrong passphrases came in a row.
    var vaultPatiencePath: String { runFolder + "/vault.patience" }
    /// The user number of the renter's account in its machine: the first that useradd gives.
    static let renter: UInt32 = 1_000

    /// Who the root of the engine's containers is outside: dockerd names its data folder by user and group (`--userns-remap`).
    var remapped: [UInt32] {
        Files.names(in: engineFolder).compactMap { name in
            let parts = name.split(separator: ".").map { UInt32($0) }
            guard parts.count == 2, let user = parts[0], parts[1] != nil, user >= 1_000 else { return nil }
            return user
        }
    }

    var engineFolder: String { mountPoint + "/engine" }
    var spareFolder: String { mountPoint + "/spare" }

    /// The vault of the lease's drive, whether there is one or not.
    func vault(_ config: Config) -> Vault { volume(config, at: "", identity: "").vault }

    /// The renter's account; only this lease's key can read it.
    var accountPath: String { mountPoint + "/account.json" }

    /// The drives that carry a volume of ours.
    var knownDrivesPath: String { stateFolder + "/drives.json" }

    private func mapperName(_ config: Config) -> String { config.network.bridge + "-lease" }

    func finder(_ config: Config) -> Finder { Finder(mapping: mapperName(config), mountPoint: mountPoint) }

    /// What decides about a drive at a path.
    func rule(_ config: Config, for path: String) -> Inspect.Rule {
        let isTold = path == config.drive.path
        return Inspect.Rule(
            minimumBytes: config.drive.minimumBytes, isTold: isTold, newFileBytes: isTold ? config.drive.newFileBytes : nil)
    }

    /// The volume of a lease on a drive; an empty path where the drive is away.
    func volume(_ config: Config, at path: String, identity: String) -> Volume {
        Volume(
            path: path, identity: identity, mountPoint: mountPoint, keyPath: leaseKeyPath, mapperName: mapperName(config),
            isEncrypted: config.drive.encryption == .luks2, newFileBytes: rule(config, for: path).newFileBytes)
    }

    func fence(_ config: Config) -> Fence {
        Fence(
            bridge: config.network.bridge, subnet: config.network.subnet, usesNftables: config.network.usesNftables,
            allowed: config.network.allowed, passesMail: config.network.passesMail,
            share: config.network.share)
    }

    func tunnelPlace(_ config: Config) -> Tunnel.Place {
        Tunnel.Place(runFolder: runFolder, keyPath: deviceKeyPath, containerAddress: config.network.subnet.container)
    }

    func engineSettings(_ config: Config) -> EngineSettings {
        let processors = Measured.processors()
        return EngineSettings(
            runFolder: runFolder, dataRoot: engineFolder, spareFolder: spareFolder, doorFolder: vaultFolder,
            vaultFolder: vault(config).mountPoint, bridge: config.network.bridge,
            containerAddress: config.network.subnet.container, baseImage: baseImage,
            memoryMiB: config.limits.memoryMiB ?? max(64, Measured.memoryMiB() * 3 / 4),
            milliProcessors: min(config.limits.milliProcessors ?? .max, processors * 1_000), pids: config.limits.pids,
            hostName: "sublet", resolvers: config.network.resolvers)
    }
}
