import CCryptsetup
import CLinux
import Platform
import VaultProtocol

extension Luks {
    /// Formats with a fresh volume key and puts the passphrase into slot 0 by Argon2id: about a second of this processor, at most so much memory.
    static func formatVault(
        _ path: String, passphrase: borrowing LockedBytes, cipher: Cipher, memoryKiB: Int64
    ) throws(StorageError) {
        let device = try CryptDevice(path: path)
        var derivation = crypt_pbkdf_type()
        derivation.time_ms = 1_000
        derivation.max_memory_kb = UInt32(clamping: memoryKiB)
        // libcryptsetup takes four at most.
        derivation.parallel_threads = UInt32(min(4, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
        var result: Int32 = -EINVAL
        CRYPT_KDF_ARGON2ID.withCString { type in
            "sha256".withCString { hash in
                "sublet-vault".withCString { label in
                    derivation.type = type
                    derivation.hash = hash
                    withUnsafePointer(to: derivation) { pbkdf in
                        var parameters = crypt_params_luks2()
                        parameters.pbkdf = pbkdf
                        parameters.label = label
                        parameters.sector_size = 4_096
                        result = crypt_format(
                            device.raw, CRYPT_LUKS2, cipher.name, cipher.mode, nil, nil, cipher.volumeKeyBytes, &parameters)
                        guard result == 0 else { return }
                        result = passphrase.withUnsafeBytes {
                            crypt_keyslot_add_by_volume_key(
                                device.raw, 0, nil, 0, $0.bindMemory(to: CChar.self).baseAddress, $0.count)
                        }
                    }
                }
            }
        }
        guard result >= 0 else { throw StorageError(cryptsetup: result, "LUKS2 format of the vault") }
    }

    /// Opens under /dev/mapper, without discards: the file's room stays reserved, and nobody sees from outside what is in use. EPERM where the
    /// passphrase is wrong.
    static func openVault(_ path: String, passphrase: borrowing LockedBytes, as name: String) throws(StorageError) {
        let device = try CryptDevice(path: path)
        let loaded = crypt_load(device.raw, CRYPT_LUKS2, nil)
        guard loaded == 0 else { throw StorageError(cryptsetup: loaded, "LUKS2 header of the vault") }
        let result = passphrase.withUnsafeBytes {
            crypt_activate_by_passphrase(device.raw, name, CRYPT_ANY_SLOT, $0.bindMemory(to: CChar.self).baseAddress, $0.count, 0)
        }
        guard result >= 0 else { throw StorageError(cryptsetup: result, "unlock the vault") }
    }
}
