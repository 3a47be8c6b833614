import JSON
import Protocol

/// What the owner wants of the system around the governor: `system` in device-config.json. Only a card's system asks (`governor setup`).
public struct SystemSettings: Equatable, Sendable {
    /// A wireless network.
    public struct WiFi: Equatable, Sendable {
        /// Its name, 1 to 32 bytes.
        public var ssid: String
        /// 8 to 63 printable characters of ASCII, or the key itself, 64 hex digits; nil for an open network.
        public var passphrase: Secret?
        /// Where the device stands (ISO 3166, two capitals): it decides which channels may be used, and how loudly.
        public var country: String
    }

    /// The device's name in the owner's network; nil leaves the image's.
    public var hostname: String?
    /// Who may log in as root by ssh; where there is none, nothing listens.
    public var sshKeys: [String] = []
    /// The wireless network; nil for the cable alone.
    public var wifi: WiFi?

    /// Reads the object strictly; nil is an empty one.
    public init(_ found: consuming ObjectReader?) throws(JSONError) {
        guard var reader = found else { return }
        hostname = try reader.optionalString("hostname", 1...63)
        if let hostname, !Self.isHostName(hostname) {
            throw reader.failure("hostname", expected: "a-z, 0-9, and - between them", found: "\"" + hostname + "\"")
        }
        for key in try reader.optionalList("sshKeys", atMost: 8) {
            guard let line = key.text, line.utf8.count <= 8_192, isPublicKeyLine(line) else {
                // What stands in its place may be the private half.
                throw reader.failure("sshKeys", expected: "public keys such as \"ssh-ed25519 AAAA… name\"", found: "something else")
            }
            sshKeys.append(line)
        }
        if let network = try reader.optionalObject("wifi") { wifi = try WiFi(network) }
        try reader.finish()
    }

    private static func isHostName(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        return bytes.first != UInt8(ascii: "-") && bytes.last != UInt8(ascii: "-")
            && bytes.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-") }
    }
}

extension SystemSettings.WiFi {
    /// Reads the object strictly. No error shows what stands for the passphrase.
    init(_ found: consuming ObjectReader) throws(JSONError) {
        var reader = found
        ssid = try reader.string("ssid", 1...32)
        if let text = try reader.optionalString("passphrase", 8...64) {
            let bytes = Array(text.utf8)
            guard bytes.count == 64 ? isHexKey(bytes) : bytes.allSatisfy({ (0x20...0x7E).contains($0) }) else {
                throw reader.failure("passphrase", expected: "8 to 63 characters of ASCII, or 64 hex digits", found: "something else")
            }
            passphrase = Secret(text)
        }
        country = try reader.string("country", 2...2)
        guard Array(country.utf8).allSatisfy({ (0x41...0x5A).contains($0) }) else {
            throw reader.failure("country", expected: "two capitals such as \"DE\"", found: "\"" + country + "\"")
        }
        try reader.finish()
    }
}

private func isHexKey(_ bytes: [UInt8]) -> Bool {
    bytes.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) || (0x41...0x46).contains($0) }
}
