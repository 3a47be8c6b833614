import JSON

/// What a device measures of itself.
public struct Hardware: Equatable, Sendable {
    /// `armv7l`, `aarch64`, `x86_64` (uname).
    public var architecture: String
    /// Processors online.
    public var processors: Int64
    /// Memory, MiB.
    public var memoryMiB: Int64
    /// The drive, MiB.
    public var storageMiB: Int64
    /// How the drive keeps the renter's data.
    public var encryption: Encryption

    /// Measured facts.
    public init(architecture: String, processors: Int64, memoryMiB: Int64, storageMiB: Int64, encryption: Encryption) {
        self.architecture = architecture
        self.processors = processors
        self.memoryMiB = memoryMiB
        self.storageMiB = storageMiB
        self.encryption = encryption
    }

    init(_ reader: consuming ObjectReader) throws(JSONError) {
        architecture = try reader.plain("architecture", 1...32)
        processors = try reader.integer("processors", 1...4_096)
        memoryMiB = try reader.integer("memoryMiB", 1...16_777_216)
        storageMiB = try reader.integer("storageMiB", 1...1_073_741_824)
        encryption = try reader.word("encryption", as: Encryption.self)
        try reader.finish()
    }

    var json: JSON {
        .object([
            .init("architecture", .string(architecture)), .init("processors", .integer(processors)),
            .init("memoryMiB", .integer(memoryMiB)), .init("storageMiB", .integer(storageMiB)),
            .init("encryption", .string(encryption.rawValue)),
        ])
    }
}

/// `POST …/register`: a device asks for a lease to offer. Asking again for the same lease gives the same answer.
public struct RegisterRequest: Equatable, Sendable {
    /// The lease's name, drawn by the device and kept in its journal before this is sent.
    public var lease: LeaseID
    /// The device's public key for the tunnel and for receipts, `ssh-ed25519 AAAA…`.
    public var tunnelKey: String
    /// The governor's version.
    public var governor: String
    /// What the device measured.
    public var hardware: Hardware

    /// A request.
    public init(lease: LeaseID, tunnelKey: String, governor: String, hardware: Hardware) {
        self.lease = lease
        self.tunnelKey = tunnelKey
        self.governor = governor
        self.hardware = hardware
    }

    /// Reads the body strictly.
    public init(_ json: JSON) throws(JSONError) {
        var reader = try ObjectReader(json)
        lease = try reader.lease("lease")
        tunnelKey = try reader.string("tunnelKey", 80...120)
        guard isEd25519Key(tunnelKey) else {
            throw reader.failure("tunnelKey", expected: "\"ssh-ed25519 \" and 68 base64 characters", found: "something else")
        }
        governor = try reader.plain("governor", 1...64)
        hardware = try Hardware(try reader.object("hardware"))
        try reader.finish()
    }

    /// The body.
    public var json: JSON {
        .object([
            .init("lease", .string(lease.text)), .init("tunnelKey", .string(tunnelKey)), .init("governor", .string(governor)),
            .init("hardware", hardware.json),
        ])
    }
}

/// `ssh-ed25519 ` and the 51 bytes of such a key in base64, without a comment (RFC 8709, RFC 4253 section 6.6).
public func isEd25519Key(_ text: String) -> Bool {
    let start = Array("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI".utf8)
    let bytes = Array(text.utf8)
    guard bytes.count == 80, bytes.starts(with: start) else { return false }
    return bytes[12...].allSatisfy(isBase64Digit)
}

/// A line that may stand in authorized_keys for a renter: a known key type, base64, an optional comment, and no options before it.
public func isPublicKeyLine(_ text: String) -> Bool {
    let types = [
        "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
    ]
    let parts = Array(text.utf8).split(separator: UInt8(ascii: " "), maxSplits: 2)
    guard parts.count >= 2, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return false }
    return types.contains(String(decoding: parts[0], as: UTF8.self)) && parts[1].count >= 40 && parts[1].allSatisfy(isBase64Digit)
}

func isBase64Digit(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="): true
    default: false
    }
}

/// The renter's account in the container, drawn by the market.
public struct Account: Equatable, Sendable {
    /// A user name: `[a-z][a-z0-9_-]{0,31}`.
    public var user: String
    /// The password, 12 to 64 printable characters.
    public var password: Secret

    /// An account.
    public init(user: String, password: Secret) {
        self.user = user
        self.password = password
    }

    /// Reads it strictly; also from the lease's drive.
    public init(_ reader: consuming ObjectReader) throws(JSONError) {
        user = try reader.string("user", 1...32)
        guard isUserName(user) else {
            throw reader.failure("user", expected: "a lower-case letter, then letters, digits, _ or -", found: "\"" + user + "\"")
        }
        password = Secret(try reader.string("password", 12...64))
        try reader.finish()
    }

    /// Its JSON, in answers and on the lease's drive.
    public var json: JSON {
        .object([.init("user", .string(user)), .init("password", .string(password.revealText()))])
    }
}

/// `[a-z][a-z0-9_-]{0,31}`: what adduser takes on Debian.
public func isUserName(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard let first = bytes.first, bytes.count <= 32, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(first) else { return false }
    return bytes.allSatisfy {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
            || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
    }
}

/// Where the device opens its tunnel, and which three ports it may listen on there.
public struct TunnelTarget: Equatable, Sendable {
    /// Name or address of the tunnel host.
    public var host: String
    /// Its sshd's port.
    public var port: Int64
    /// The account there.
    public var user: String
    /// Its host key, `ssh-ed25519 AAAA…`; the device trusts no other.
    public var hostKey: String
    /// The address on the tunnel host that the ssh forward listens on, `127.0.0.1` or `0.0.0.0`; the web forwards listen on loopback.
    public var bind: String
    /// The three ports.
    public var ports: ForwardPorts

    /// A target.
    public init(host: String, port: Int64, user: String, hostKey: String, bind: String, ports: ForwardPorts) {
        self.host = host
        self.port = port
        self.user = user
        self.hostKey = hostKey
        self.bind = bind
        self.ports = ports
    }

    /// Reads it strictly; also from the device's journal.
    public init(_ reader: consuming ObjectReader) throws(JSONError) {
        host = try reader.string("host", 1...253)
        guard isHostName(host) else { throw reader.failure("host", expected: "a host name or address", found: "\"" + host + "\"") }
        port = try reader.integer("port", 1...65_535)
        user = try reader.string("user", 1...32)
        guard isUserName(user) else { throw reader.failure("user", expected: "a user name", found: "\"" + user + "\"") }
        hostKey = try reader.string("hostKey", 80...120)
        guard isEd25519Key(hostKey) else { throw reader.failure("hostKey", expected: "an ssh-ed25519 public key", found: "something else") }
        bind = try reader.string("bind", 2...45)
        guard isHostName(bind) else { throw reader.failure("bind", expected: "an address", found: "\"" + bind + "\"") }
        ports = try ForwardPorts(try reader.object("ports"))
        try reader.finish()
    }

    /// Its JSON, in answers and in the device's journal.
    public var json: JSON {
        .object([
            .init("host", .string(host)), .init("port", .integer(port)), .init("user", .string(user)),
            .init("hostKey", .string(hostKey)), .init("bind", .string(bind)), .init("ports", ports.json),
        ])
    }
}

/// Letters, digits, dots, dashes and colons: a name, an IPv4 or an IPv6 address, and nothing that a command line could take for an option.
public func isHostName(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard let first = bytes.first, first != UInt8(ascii: "-"), bytes.count <= 253 else { return false }
    return bytes.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: ":"): true
        default: false
        }
    }
}

extension ForwardPorts {
    init(_ reader: consuming ObjectReader) throws(JSONError) {
        ssh = try reader.integer("ssh", Self.range)
        http = try reader.integer("http", Self.range)
        https = try reader.integer("https", Self.range)
        guard ssh != http, ssh != https, http != https else {
            throw reader.failure("https", expected: "three different ports", found: "one of them twice")
        }
        try reader.finish()
    }

    var json: JSON {
        .object([.init("ssh", .integer(ssh)), .init("http", .integer(http)), .init("https", .integer(https))])
    }
}
