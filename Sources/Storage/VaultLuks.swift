import CCryptsetup
import CLinux
import Platform
import VaultProtocol

extension Luks {
    /// Formats with a fresh volume key and puts the passphrase into slot 0 by Argon2id: about a second of this processor, at most so much memory.
    static func formatVault(
        _ path: String, passphrase: borrowing LockedBytes, cipher: Cipher, memoryKiB: Int64
    ) throws(StorageError) {
        var derivation = crypt_pbkdf_type()
        derivation.time_ms = 1_000
        derivation.max_memory_kb = UInt32(clamping: memoryKiB)
        // libcryptsetup takes four at most.
        derivation.parallel_threads = UInt32(min(4, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
        let device = try CryptDevice(path: path)
        let result = passphrase.withUnsafeBytes { device.format("sublet-vault", cipher, CRYPT_KDF_ARGON2ID, derivation, secret: $0) }
        guard result >= 0 else { throw StorageError(cryptsetup: result, "LUKS2 format of the vault") }
    }

    /// Opens under /dev/mapper, without discards: the file's room stays reserved, and nobody sees from outside what is in use. EPERM where the
    /// passphrase is wrong.
    static func openVault(_ path: String, passphrase: borrowing LockedBytes, as name: String) throws(StorageError) {
        let device = try CryptDevice.loaded(path, called: "the vault")
        let result = passphrase.withUnsafeBytes { device.activate(name, secret: $0, flags: 0) }
        guard result >= 0 else { throw StorageError(cryptsetup: result, "unlock the vault") }
    }
}
