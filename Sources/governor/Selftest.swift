import CLinux
import Commands
import Crypto
import GovernorCore
import JSON
import Platform
import Protocol
import Storage
import VaultProtocol

/// `governor selftest [--offline]`: proves the program on the board it was built for. It runs under qemu-user too.
enum Selftest {
    static func run(_ options: Options) throws(CommandFailure) {
        var failed = 0
        for (name, test) in tests {
            if let trouble = test() {
                failed += 1
                Terminal.print("not ok - " + name + ": " + trouble)
            } else {
                Terminal.print("ok - " + name)
            }
        }
        Terminal.print("\(tests.count - failed) passed, \(failed) failed")
        guard failed == 0 else { throw CommandFailure(.failed, "\(failed) of \(tests.count) self-tests failed") }
        guard !options.has("--offline") else { return }
        let layout = Layout(options)
        try Needs.check(layout, try layout.config())
        Terminal.print("this machine has what it needs")
    }

    private static var tests: [(String, () -> String?)] {
        [
            ("time_t and off_t have 64 bits", sizes), ("short strings are kept", shortStrings), ("JSON", json),
            ("journal on a file", journal), ("lifecycle", lifecycle), ("seal", seal), ("vault's messages", vaultMessages),
            ("LUKS2 header on a file", header), ("disks through udev", disks), ("erasing 16 GiB", largeDrive),
            ("the lamp's table", lampTable),
        ]
    }

    private static func sizes() -> String? {
        MemoryLayout<time_t>.size == 8 && MemoryLayout<off_t>.size == 8 ? nil : "they have not: the C flags of this build are wrong"
    }

    /// A short string in an optional, copied out of an object: board/runtime says what became of it on 64-bit ARM.
    private static func shortStrings() -> String? {
        let holder = Holder()
        holder.open()
        return holder.lines().contains("/dev/sda") ? nil : "one is another after it was copied"
    }

    private final class Holder {
        private var chosen: (number: Int, node: String)?

        @inline(never)
        func open() { chosen = (Int(getpid()), String(decoding: Array("/dev/sda".utf8), as: UTF8.self)) }

        @inline(never)
        func lines() -> [String?] { [chosen?.node, nil] }
    }

    private static func json() -> String? {
        let text = "{\"name\":\"Grüße\",\"port\":22,\"list\":[true,null,1.5]}"
        do throws(JSONError) {
            let value = try JSON.parse(Array(text.utf8))
            guard String(decoding: value.encoded(), as: UTF8.self) == text else { return "did not come back as it was" }
            var reader = try ObjectReader(value)
            guard try reader.string("name", 1...16) == "Grüße", try reader.integer("port", 1...65_535) == 22 else { return "wrong values" }
            try reader.finish()
            return "an unknown key was taken"
        } catch {
            return error.path == "list" ? nil : error.message
        }
    }

    private static func withFolder(_ body: (String) throws(SystemError) -> String?) -> String? {
        do throws(SystemError) {
            let folder = (Invocation.environment("TMPDIR") ?? "/tmp") + "/sublet-selftest-" + (try Random.hex(8))
            try Files.makeFolder(folder)
            defer {
                for name in Files.names(in: folder) { unlink(folder + "/" + name) }
                rmdir(folder)
            }
            return try body(folder)
        } catch { return error.message }
    }

    /// Every disk has a number that the kernel gives to its node too; a file is one of its size.
    private static func disks() -> String? {
        withFolder { folder throws(SystemError) in
            try Files.replace(folder + "/drive", with: [1, 2, 3])
            let finder = Finder(mapping: "sublet-selftest", mountPoint: folder)
            do throws(StorageError) {
                for disk in try finder.disks() where Files.exists(disk.node) {
                    guard try finder.disk(at: disk.node)?.bytes == disk.bytes else { return disk.node + " is not found by its node" }
                }
                let file = try finder.disk(at: folder + "/drive")
                return file?.kind == .file && file?.bytes == 3 ? nil : "a file is not found"
            } catch { return error.message }
        }
    }

    private static func journal() -> String? {
        withFolder { folder throws(SystemError) in
            var journal = Journal()
            journal.stage = .registering
            journal.lease = LeaseID("0123456789abcdef0123456789abcdef")
            try Files.replace(folder + "/journal.json", with: journal.json.encoded())
            let bytes = try Files.read(folder + "/journal.json", limit: 65_536)
            guard let back = try? Journal(try JSON.parse(bytes)) else { return "can't be read back" }
            return back == journal ? nil : "came back different"
        }
    }

    private static func lifecycle() -> String? {
        var core = Lifecycle(journal: Journal(), seed: 1)
        let now = Instant.seconds(100)
        _ = core.handle(.started, at: now)
        let first = core.handle(.driveReady(Drive(identity: "serial:x", bytes: 1 << 33)), at: now)
        guard first.contains(.erase(nil, drive: "serial:x")) else { return "a drive is not erased before its first tenant" }
        let report = EraseReport(
            method: .key, encryption: .luks2, drive: "serial:x", bytes: 1 << 33, eraseMilliseconds: 1, checkMilliseconds: 1, checks: [])
        guard core.handle(.erased(report), at: now).contains(.drawLease), let lease = LeaseID("0123456789abcdef0123456789abcdef") else {
            return "a clean drive is not offered"
        }
        return core.handle(.leaseDrawn(lease), at: now).contains(.register(lease)) ? nil : "it does not register"
    }

    /// A list literal that the linker took for another one was here once.
    private static func lampTable() -> String? {
        let beats = LampPattern.allCases.map { $0.beat }
        for pattern in LampPattern.allCases {
            let lit = beats[pattern.number].enumerated().filter { $0.offset % 2 == 0 }.map { $0.element }
            let wanted =
                switch pattern {
                case .dark: [0]
                case .steady: [1000]
                case .slow: [500]
                case .fast: [125]
                case .two: [200, 200]
                case .three: [200, 200, 200]
                case .four: [200, 200, 200, 200]
                case .sos: [150, 150, 150, 450, 450, 450, 150, 150, 150]
                }
            guard lit == wanted else { return pattern.rawValue + " is lit for other times" }
        }
        return nil
    }

    private static func seal() -> String? {
        let code = hexText(Crypto.authenticationCode(key: Array("Jefe".utf8), Array("what do ya want for nothing?".utf8)))
        return code == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" ? nil : "RFC 4231, case 2: found " + code
    }

    /// Locked memory, and a request there and back.
    private static func vaultMessages() -> String? {
        do throws(SystemError) {
            var passphrase = try LockedBytes(capacity: 16)
            for byte in "passphrase".utf8 { passphrase.append(byte) }
            let frame = try VaultRequest.frame(.open, size: 0, passphrase: passphrase)
            var body = try LockedBytes(capacity: frame.count)
            body.append(frame, from: 4)
            do throws(VaultWireError) {
                let request = try VaultRequest(body)
                return request.verb == .open && request.passphrase.equals(passphrase) ? nil : "came back different"
            } catch { return error.message }
        } catch { return error.message }
    }

    private static func largeDrive() -> String? {
        withFolder { folder throws(SystemError) in
            do throws(StorageError) { return try Volume.selftest(in: folder) } catch { return error.message }
        }
    }

    private static func header() -> String? {
        withFolder { folder throws(SystemError) in
            let path = folder + "/drive.img"
            let file = try FileDescriptor.open(path, O_RDWR | O_CREAT)
            guard ftruncate(file.raw, 64 << 20) == 0 else { throw .last("ftruncate") }
            do throws(StorageError) { return try Luks.selftest(path) } catch { return error.message }
        }
    }
}
