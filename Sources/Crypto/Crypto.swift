import CCrypto

/// libcrypto's functions that the house uses; nothing is computed here.
public enum Crypto {
    /// SHA-256 (FIPS 180-4): 32 bytes.
    public static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        let done = bytes.withUnsafeBytes { ccrypto_sha256($0.baseAddress, bytes.count, &digest) }
        precondition(done == 1, "libcrypto has SHA-256 in every build")
        return digest
    }

    /// HMAC-SHA-256 (RFC 2104): 32 bytes.
    public static func authenticationCode(key: [UInt8], _ bytes: [UInt8]) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: 32)
        let done = ccrypto_hmac_sha256(key, Int32(key.count), bytes, bytes.count, &code)
        precondition(done == 1, "libcrypto has HMAC-SHA-256 in every build")
        return code
    }

    /// Compares in a time that does not depend on where the difference is (CRYPTO_memcmp).
    public static func areEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        one.count == other.count && CRYPTO_memcmp(one, other, one.count) == 0
    }
}
