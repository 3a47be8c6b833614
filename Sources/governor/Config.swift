import Appliance
import CLinux
import Fence
import JSON
import Lamp
import Platform
import Protocol
import Storage

/// What the owner wrote in device-config.json. Every key is documented in docs/device-config.md.
struct Config: Equatable {
    /// Where a lease's data goes.
    struct Drive: Equatable {
        /// A block device, or a file that serves as one; nil takes a USB drive.
        var path: String?
        /// The smallest drive that is taken, bytes.
        var minimumBytes: Int64
        /// The size of a file that does not exist yet, bytes; nil makes none.
        var newFileBytes: Int64?
        /// LUKS2 unless the owner says otherwise in words.
        var encryption: Encryption
        /// How it is erased.
        var erase: EraseMethod
        /// Whether a drive with somebody's data on it may be taken.
        var adoptsAny: Bool
    }

    /// What a renter may use.
    struct Limits: Equatable {
        /// MiB; nil takes three quarters of the device's memory.
        var memoryMiB: Int64?
        /// Thousandths of a processor; nil takes all.
        var milliProcessors: Int64?
        /// Processes and threads.
        var pids: Int64
    }

    /// The renter's network.
    struct Network: Equatable {
        var bridge: String
        var subnet: Subnet
        var usesNftables: Bool
        /// What the renter may reach although it is near.
        var allowed: [AddressRange]
        /// Whether the renter may hand mail to other servers.
        var passesMail: Bool
        /// How much of the owner's line the renter gets.
        var share: LineShare
        var resolvers: [String]
    }

    /// `https://host[:port]`; http only to loopback.
    var server: String
    var device: DeviceID
    var key: Secret
    var name: String?
    var drive: Drive
    var limits: Limits
    var network: Network
    /// Where the lamp is.
    var lamp: LampPlan

    /// The longest file that is read, in bytes.
    static let limit = 65_536

    /// Reads the file. The error is one line that names the key and what was expected.
    static func read(_ path: String, _ board: Board) throws(JSONError) -> Config { try Config(try value(path), board) }

    /// The file's value, whatever it holds.
    static func value(_ path: String) throws(JSONError) -> JSON {
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try Files.read(path, limit: limit) } catch {
            let found = error.code == EFBIG ? "more than \(limit) bytes" : errnoText(error.code)
            throw JSONError("", expected: "a readable file of at most \(limit) bytes", found: found + otherName(path))
        }
        return try OwnersText.parse(bytes)
    }

    /// Windows hides the ends of names, and puts another one behind the one that is there.
    private static func otherName(_ path: String) -> String {
        Files.exists(path + ".txt") && !Files.exists(path) ? "; there is one that ends with .json.txt: take the .txt away" : ""
    }

    /// Reads the value strictly.
    init(_ json: JSON, _ board: Board) throws(JSONError) {
        var reader = try ObjectReader(json)
        server = try Self.server(&reader)
        // At most its length, so that a key in its place is not shown.
        let id = try reader.string("deviceId", 1...36)
        // The GUID of zeros is what programs write where they have none.
        guard let device = DeviceID(id), id.utf8.contains(where: { $0 != UInt8(ascii: "0") && $0 != UInt8(ascii: "-") }) else {
            throw reader.failure("deviceId", expected: DeviceID.form, found: "\"" + id + "\"")
        }
        self.device = device
        let secret = try reader.string("deviceKey", 1...128)
        guard secret.utf8.count == 64, secret.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }) else {
            throw reader.failure("deviceKey", expected: "64 lower-case hex digits", found: "something else")
        }
        key = Secret(secret)
        name = try reader.optionalString("name", 1...64)
        drive = try Drive(try reader.optionalObject("storage"))
        // Where the board's own is not there, a USB drive is as good.
        if drive.path == nil, let usual = board.drive, Files.exists(usual) { drive.path = usual }
        limits = try Limits(try reader.optionalObject("limits"))
        network = try Network(try reader.optionalObject("network"))
        lamp = try Self.lamp(try reader.optionalObject("lamp"), board)
        // Not the governor's business; read here so that what is wrong in it is told, and not kept.
        _ = try SystemSettings(try reader.optionalObject("system"))
        try reader.finish()
    }

    private static func server(_ reader: inout ObjectReader) throws(JSONError) -> String {
        let text = try reader.string("server", 1...256)
        let expected = "https://host or https://host:port (http only to this machine itself)"
        func wrong(_ found: String) -> JSONError { reader.failure("server", expected: expected, found: found) }
        var rest: Substring.UTF8View
        let isPlain: Bool
        if text.utf8.starts(with: "https://".utf8) {
            isPlain = false
            rest = Substring(text).utf8.dropFirst(8)
        } else if text.utf8.starts(with: "http://".utf8) {
            isPlain = true
            rest = Substring(text).utf8.dropFirst(7)
        } else {
            throw wrong("\"" + text + "\"")
        }
        if rest.last == UInt8(ascii: "/") { rest = rest.dropLast() }
        let parts = rest.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count <= 2 else { throw wrong("\"" + text + "\"") }
        let host = String(decoding: first, as: UTF8.self)
        guard isHostName(host) else { throw wrong("the host \"" + host + "\"") }
        if parts.count == 2 {
            let port = String(decoding: parts[1], as: UTF8.self)
            guard let number = Int(port), (1...65_535).contains(number) else { throw wrong("the port \"" + port + "\"") }
        }
        guard !isPlain || isLoopback(host) else { throw wrong("http to \"" + host + "\"") }
        return (isPlain ? "http://" : "https://") + String(decoding: rest, as: UTF8.self)
    }

    /// `localhost` or `127.a.b.c`. A name such as 127.0.0.1.example is somebody else's.
    private static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" { return true }
        let parts = host.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0].elementsEqual("127".utf8)
            && parts.allSatisfy { UInt8(String(decoding: Array($0), as: UTF8.self)) != nil }
    }
}

extension Config.Drive {
    init(_ found: consuming ObjectReader?) throws(JSONError) {
        minimumBytes = Inspect.smallest
        encryption = .luks2
        erase = .key
        adoptsAny = false
        guard var reader = found else { return }
        // With `path:` before it, it is the drive's name in receipts, which have 256 bytes for it.
        path = try reader.optionalString("path", 2...250)
        if let path, path.utf8.first != UInt8(ascii: "/") {
            throw reader.failure("path", expected: "an absolute path", found: "\"" + path + "\"")
        }
        minimumBytes = (try reader.optionalInteger("minimumMiB", 1_024...67_108_864) ?? Inspect.smallest >> 20) << 20
        newFileBytes = try reader.optionalInteger("sizeMiB", 1_024...67_108_864).map { $0 << 20 }
        if let newFileBytes {
            guard path != nil else { throw reader.failure("sizeMiB", expected: "a path beside it", found: "none") }
            guard newFileBytes >= minimumBytes else {
                throw reader.failure("sizeMiB", expected: "at least minimumMiB", found: "\(newFileBytes >> 20)")
            }
        }
        encryption = try reader.optionalWord("encryption", as: Encryption.self) ?? .luks2
        erase = try reader.optionalWord("erase", as: EraseMethod.self) ?? (encryption == .luks2 ? .key : .discard)
        guard encryption == .luks2 || erase != .key else {
            throw reader.failure(
                "erase", expected: "\"discard\" or \"overwrite\", for without encryption there is no key to destroy", found: "\"key\"")
        }
        let adopt = try reader.optionalString("adopt", 1...16) ?? "blank"
        guard adopt == "blank" || adopt == "any" else {
            throw reader.failure("adopt", expected: "one of \"blank\" \"any\"", found: "\"" + adopt + "\"")
        }
        adoptsAny = adopt == "any"
        try reader.finish()
    }
}

extension Config.Limits {
    init(_ found: consuming ObjectReader?) throws(JSONError) {
        pids = 512
        guard var reader = found else { return }
        memoryMiB = try reader.optionalInteger("memoryMiB", 64...16_777_216)
        switch reader.optional("processors") {
        case nil: break
        case .integer(let count)? where (1...4_096).contains(count): milliProcessors = count * 1_000
        case .number(let count)? where count >= 0.05 && count <= 4_096: milliProcessors = Int64(count * 1_000)
        case let value?: throw reader.failure("processors", expected: "a number from 0.05 to 4096", found: value.kind)
        }
        pids = try reader.optionalInteger("pids", 32...1_000_000) ?? 512
        try reader.finish()
    }
}

extension Config.Network {
    init(_ found: consuming ObjectReader?) throws(JSONError) {
        bridge = "sublet0"
        guard let usual = Subnet("10.213.77.0/30") else { throw JSONError("network", expected: "a subnet", found: "none") }
        subnet = usual
        usesNftables = true
        allowed = []
        passesMail = false
        share = LineShare()
        resolvers = ["9.9.9.9", "149.112.112.112"]
        guard var reader = found else { return }
        if let name = try reader.optionalString("bridge", 1...12) {
            guard isUserName(name) else {
                throw reader.failure("bridge", expected: "a lower-case letter, then letters and digits", found: "\"" + name + "\"")
            }
            bridge = name
        }
        if let text = try reader.optionalString("subnet", 9...18) {
            guard let subnet = Subnet(text) else {
                throw reader.failure("subnet", expected: "a network of four addresses such as 10.213.77.0/30", found: "\"" + text + "\"")
            }
            self.subnet = subnet
        }
        let fence = try reader.optionalString("fence", 1...16) ?? "nftables"
        guard fence == "nftables" || fence == "none" else {
            throw reader.failure("fence", expected: "one of \"nftables\" \"none\"", found: "\"" + fence + "\"")
        }
        usesNftables = fence == "nftables"
        for entry in try reader.optionalList("allow", atMost: 32) {
            guard let range = entry.text.flatMap({ AddressRange($0) }) else {
                let found = entry.text.map { "\"" + $0 + "\"" } ?? entry.kind
                throw reader.failure("allow", expected: "IPv4 addresses or ranges such as 192.168.1.20 or 192.168.1.0/24", found: found)
            }
            allowed.append(range)
        }
        passesMail = try reader.optionalBool("smtp") ?? false
        share.upMbit = try reader.optionalInteger("upMbit", 1...100_000)
        share.downMbit = try reader.optionalInteger("downMbit", 1...100_000)
        share.connections = try reader.optionalInteger("connections", 16...1_000_000) ?? share.connections
        try reader.finish()
    }
}
