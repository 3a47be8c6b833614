import CLinux
import Commands
import Engine
import EventLoop
import Fence
import GovernorCore
import JSON
import Platform
import Protocol
import Storage
import Tunnel

/// `governor run`.
enum RunCommand {
    static func run(_ options: Options) throws(CommandFailure) {
        let layout = Layout(options)
        let log = Log(threshold: options.has("--debug") ? .debug : .info)
        guard let config = try Misconfigured.wait(layout, log, stays: options.has("--stay")) else { return }
        do throws(CommandFailure) {
            try Needs.check(layout, config)
            let lock = try takeLock(layout)
            try serve(layout, config, log)
            _ = lock.raw
        } catch {
            // Nobody sees its last words: the owner's file has them. Those of one that only found another at work are not the device's.
            if options.has("--stay"), error.code != .refused {
                var files = StatusFiles(layout)
                files.publish("not running", .dark, error.message)
            }
            throw error
        }
    }

    static func takeLock(_ layout: Layout) throws(CommandFailure) -> FileDescriptor {
        do throws(SystemError) {
            try Files.makeFolder(layout.runFolder, mode: 0o711)
            try Files.makeFolder(layout.stateFolder, mode: 0o700)
            let file = try FileDescriptor.open(layout.lockPath, O_RDWR | O_CREAT)
            guard try file.lock() else {
                throw SystemError(EBUSY, "another governor runs with " + layout.runFolder)
            }
            return file
        } catch { throw CommandFailure(error.code == EBUSY ? .refused : .failed, error.message) }
    }

    private static func serve(_ layout: Layout, _ config: Config, _ log: Log) throws(CommandFailure) {
        do throws(SystemError) {
            let journal = try readJournal(layout, log)
            let tunnelKey = try DeviceKey.ensure(layout.deviceKeyPath)
            let signals = clinux_signal_descriptor()
            guard signals >= 0 else { throw .last("signalfd") }
            let loop = try EventLoop()
            let shell = try Shell(loop: loop, layout: layout, config: config, journal: journal, tunnelKey: tunnelKey, log: log)
            loop.watch(signals) { _ in
                let number = clinux_read_signal(signals)
                // The owner says: try again now what waits for its next try.
                if number == SIGHUP { return shell.ownerActs() }
                // Container, engine and tunnel go on: a restart drops nobody.
                shell.write(Note(.stopping, ["signal": "\(number)"]))
                loop.stop()
            }
            shell.start()
            defer { shell.end() }
            Supervisor()?.ready(loop)
            try loop.run()
        } catch { throw CommandFailure(.failed, error.message) }
    }

    /// No journal is a new device. One that can't be read stops the program: guessing could erase somebody's data.
    private static func readJournal(_ layout: Layout, _ log: Log) throws(SystemError) -> Journal {
        guard let bytes = try Files.readIfPresent(layout.journalPath, limit: 1 << 20) else { return Journal() }
        do throws(JSONError) { return try Journal(try JSON.parse(bytes)) } catch {
            log.write(.error, id: LogEvent.journalUnreadable.rawValue, LogEvent.journalUnreadable.name, [LogField("reason", error.message)])
            throw SystemError(EINVAL, layout.journalPath + ": " + error.message)
        }
    }
}

/// The device's own key pair (OpenSSH, ed25519): for the tunnel and for receipts. Made once.
enum DeviceKey {
    /// The public key without a comment.
    static func ensure(_ path: String) throws(SystemError) -> String {
        if !Files.exists(path) {
            let fresh = path + ".fresh"
            _ = try Files.remove(fresh)
            _ = try Files.remove(fresh + ".pub")
            let outcome = try run(Command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", fresh]))
            guard outcome.status == 0 else { throw SystemError(EIO, "ssh-keygen: " + outcome.reason) }
            // The private half last: a power cut in between leaves no key, and the next start makes a new one.
            try Files.replace(path + ".pub", with: try Files.read(fresh + ".pub", limit: 4_096), mode: 0o644)
            try Files.replace(path, with: try Files.read(fresh, limit: 4_096), mode: 0o600)
            _ = try Files.remove(fresh)
            _ = try Files.remove(fresh + ".pub")
        }
        let words = try Files.read(path + ".pub", limit: 4_096).split { $0 == 0x20 || $0 == 0x0A }
        guard words.count >= 2 else { throw SystemError(EINVAL, path + ".pub: no public key") }
        return String(decoding: words[0], as: UTF8.self) + " " + String(decoding: words[1], as: UTF8.self)
    }
}

/// `governor halt`: everything of a running lease ends, its data stays; the next `governor run` goes on with it.
enum HaltCommand {
    static func run(_ options: Options) throws(CommandFailure) {
        let layout = Layout(options)
        let config = try layout.config()
        guard Invocation.isRoot else { throw CommandFailure(.notPermitted, "halt: must be root") }
        let trouble = try system(otherwise: .failed) { () throws(SystemError) in
            let loop = try EventLoop()
            let world = World(loop: loop, layout: layout, config: config)
            world.tunnel = Tunnel(loop: loop, place: layout.tunnelPlace(config)) { _ in }
            world.engine = Engine(loop: loop, settings: layout.engineSettings(config), account: { nil }, tell: { _ in })
            var trouble: String?
            world.tearDown { reason in
                trouble = reason
                loop.stop()
            }
            try loop.run()
            return trouble
        }
        if let trouble { throw CommandFailure(.failed, "halt: " + trouble) }
    }
}
