import Crypto
import Protocol

/// Names and passwords out of random bytes.
enum Credentials {
    /// 31 letters and digits that nobody takes for another when reading them aloud: no i, l, o, 0, 1.
    static let alphabet = Array("abcdefghjkmnpqrstuvwxyz23456789".utf8)
    /// A password's length: 31^20 are 99 bits.
    static let passwordLength = 20

    /// `count` characters of the alphabet, all equally likely: a byte of 248 or more is drawn again, for 248 = 8 × 31.
    static func word<World: MarketWorld>(_ count: Int, from world: World) throws(MarketError) -> [UInt8] {
        var word: [UInt8] = []
        while word.count < count {
            for byte in try world.randomBytes(32) where byte < 248 && word.count < count { word.append(alphabet[Int(byte) % 31]) }
        }
        return word
    }

    /// An account with a user name such as `renterk7m2` and a fresh password.
    static func account<World: MarketWorld>(from world: World) throws(MarketError) -> AccountRecord {
        let user = "renter" + String(decoding: try word(4, from: world), as: UTF8.self)
        return AccountRecord(user: user, password: Secret(try word(passwordLength, from: world)), hash: [])
    }

    /// 16 random bytes, then the SHA-256 of them and the password.
    static func hash<World: MarketWorld>(_ password: Secret, from world: World) throws(MarketError) -> [UInt8] {
        let salt = try world.randomBytes(16)
        return salt + Crypto.sha256(salt + password.reveal())
    }

    /// A random GUID (RFC 9562, version 4) out of 16 random bytes.
    static func deviceID(_ random: [UInt8]) throws(MarketError) -> DeviceID {
        var bytes = random
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        let digits = Array(hexDigits(bytes).utf8)
        let cuts = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32]
        var text: [UInt8] = []
        for cut in cuts { text += (text.isEmpty ? [] : [UInt8(ascii: "-")]) + digits[cut] }
        guard let id = DeviceID(String(decoding: text, as: UTF8.self)) else {
            throw .failed(LedgerError(0, "16 random bytes made no GUID"))
        }
        return id
    }
}

/// Bytes as lower-case hex digits.
func hexDigits(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
