import CCryptsetup
import CLinux
import Platform

/// libcryptsetup's context of one device.
struct CryptDevice: ~Copyable {
    let raw: OpaquePointer

    /// crypt_init(3). For a file libcryptsetup makes its own loop device.
    init(path: String) throws(StorageError) {
        var raw: OpaquePointer?
        let result = crypt_init(&raw, path)
        guard result == 0, let raw else { throw StorageError(cryptsetup: result, "crypt_init " + path) }
        self.raw = raw
    }

    /// crypt_init_by_name(3): the context of a volume that is open; nil where none of this name is.
    init?(openName: String) {
        var raw: OpaquePointer?
        guard crypt_init_by_name(&raw, openName) == 0, let raw else { return nil }
        self.raw = raw
    }

    /// crypt_init(3) and crypt_load(3): the context of a device that has a LUKS2 header. `name` is what errors call it.
    static func loaded(_ path: String, called name: String) throws(StorageError) -> CryptDevice {
        let device = try CryptDevice(path: path)
        let result = crypt_load(device.raw, CRYPT_LUKS2, nil)
        guard result == 0 else { throw StorageError(cryptsetup: result, "LUKS2 header of " + name) }
        return device
    }

    deinit { crypt_free(raw) }

    /// crypt_format(3) with a fresh volume key, then the secret into slot 0: by this function (`pbkdf2`, `argon2id`), within these limits. A
    /// negative errno where that failed.
    borrowing func format(
        _ label: String, _ cipher: Luks.Cipher, _ function: String, _ limits: crypt_pbkdf_type, secret: UnsafeRawBufferPointer
    ) -> Int32 {
        var derivation = limits
        return function.withCString { function in
            "sha256".withCString { hash in
                label.withCString { label in
                    derivation.type = function
                    derivation.hash = hash
                    return withUnsafePointer(to: derivation) { pbkdf in
                        var parameters = crypt_params_luks2()
                        parameters.pbkdf = pbkdf
                        parameters.label = label
                        parameters.sector_size = 4_096
                        let result = crypt_format(raw, CRYPT_LUKS2, cipher.name, cipher.mode, nil, nil, cipher.volumeKeyBytes, &parameters)
                        guard result == 0 else { return result }
                        return crypt_keyslot_add_by_volume_key(
                            raw, 0, nil, 0, secret.bindMemory(to: CChar.self).baseAddress, secret.count)
                    }
                }
            }
        }
    }

    /// crypt_activate_by_passphrase(3): opens it under /dev/mapper; without a name it only tries the secret. A negative errno where that failed,
    /// EPERM for a wrong secret.
    borrowing func activate(_ name: String?, secret: UnsafeRawBufferPointer, flags: UInt32) -> Int32 {
        crypt_activate_by_passphrase(
            raw, name, CRYPT_ANY_SLOT, secret.bindMemory(to: CChar.self).baseAddress, secret.count, flags)
    }
}

/// LUKS2 as the lease uses it: one random key of 64 bytes, kept on the card, in one key slot.
public enum Luks {
    /// The key's length in bytes: 512 random bits need no slow key derivation.
    public static let keyBytes = 64

    /// The cipher that is faster on this processor (FIELD.md, "Erasing flash"): AES where it has AES instructions, else Adiantum.
    struct Cipher: Equatable {
        let name: String
        let mode: String
        let volumeKeyBytes: Int

        static let aes = Cipher(name: "aes", mode: "xts-plain64", volumeKeyBytes: 64)
        static let adiantum = Cipher(name: "xchacha12,aes", mode: "adiantum-plain64", volumeKeyBytes: 32)

        /// The faster one here, by /proc/cpuinfo.
        static func ofThisMachine() throws(SystemError) -> Cipher { forProcessor(try Files.read("/proc/cpuinfo", limit: 8 << 20)) }

        static func forProcessor(_ cpuinfo: [UInt8]) -> Cipher {
            for line in cpuinfo.split(separator: UInt8(ascii: "\n")) {
                let text = String(decoding: line, as: UTF8.self)
                guard text.utf8.starts(with: "flags".utf8) || text.utf8.starts(with: "Features".utf8) else { continue }
                return text.utf8.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }).contains { $0.elementsEqual("aes".utf8) }
                    ? .aes : .adiantum
            }
            return .adiantum
        }
    }

    /// Formats with a fresh volume key and puts the given key into slot 0.
    static func format(_ path: String, key: [UInt8], cipher: Cipher) throws(StorageError) {
        var derivation = crypt_pbkdf_type()
        derivation.iterations = 1_000
        derivation.flags = ccryptsetup_no_benchmark()
        let device = try CryptDevice(path: path)
        let result = key.withUnsafeBytes { device.format(Volume.label, cipher, "pbkdf2", derivation, secret: $0) }
        guard result >= 0 else { throw StorageError(cryptsetup: result, "LUKS2 format of " + path) }
    }

    /// Whether a LUKS2 header can be read.
    static func hasHeader(_ path: String) -> Bool {
        guard let device = try? CryptDevice(path: path) else { return false }
        return crypt_load(device.raw, CRYPT_LUKS2, nil) == 0
    }

    /// Opens under /dev/mapper. EPERM where the key is wrong.
    static func open(_ path: String, key: [UInt8], as name: String) throws(StorageError) {
        let device = try CryptDevice.loaded(path, called: path)
        let result = key.withUnsafeBytes { device.activate(name, secret: $0, flags: ccryptsetup_allow_discards()) }
        guard result >= 0 else { throw StorageError(cryptsetup: result, "unlock " + path) }
    }

    /// Whether the key opens a slot (nothing is activated).
    static func accepts(_ path: String, key: [UInt8]) throws(StorageError) -> Bool {
        let device = try CryptDevice.loaded(path, called: path)
        return key.withUnsafeBytes { device.activate(nil, secret: $0, flags: 0) } >= 0
    }

    /// Whether a volume of this name is open.
    static func isOpen(_ name: String) -> Bool {
        let status = crypt_status(nil, name)
        return status == CRYPT_ACTIVE || status == CRYPT_BUSY
    }

    /// Closes it; nothing where it is not open.
    static func close(_ name: String) throws(StorageError) {
        guard isOpen(name) else { return }
        guard let device = CryptDevice(openName: name) else { throw StorageError("close " + name + ": it is open, but can't be reached") }
        let result = crypt_deactivate(device.raw, name)
        guard result == 0 else { throw StorageError(cryptsetup: result, "close " + name) }
    }

    /// Destroys every key slot and says where the data begins, in bytes: all before it is header.
    static func destroyKeySlots(_ path: String) throws(StorageError) -> Int64 {
        let device = try CryptDevice.loaded(path, called: path)
        for slot in 0..<crypt_keyslot_max(CRYPT_LUKS2) {
            let state = crypt_keyslot_status(device.raw, slot)
            guard state == CRYPT_SLOT_ACTIVE || state == CRYPT_SLOT_ACTIVE_LAST || state == CRYPT_SLOT_UNBOUND else { continue }
            let result = crypt_keyslot_destroy(device.raw, slot)
            guard result == 0 else { throw StorageError(cryptsetup: result, "destroy key slot \(slot)") }
        }
        // In sectors. A header may claim any: more than all drives have is as good as the whole drive.
        return Int64(min(crypt_get_data_offset(device.raw), 1 << 53)) * 512
    }

    /// Whether this kernel has device-mapper with dm-crypt, without which nothing can be opened.
    public static func isSupported() -> Bool {
        if hasCryptTarget() { return true }
        _ = try? tool(["modprobe", "dm-crypt"])
        return hasCryptTarget()
    }

    /// The node /dev/mapper/control proves nothing: libdevmapper makes it where the kernel has no driver behind it. Nor does the driver:
    /// dm-crypt is a module of its own.
    private static func hasCryptTarget() -> Bool {
        guard let control = try? FileDescriptor.open("/dev/mapper/control", O_RDWR) else { return false }
        return clinux_mapper_has_target(control.raw, "crypt") == 1
    }
}

extension Luks {
    /// Formats a file, opens its slot with the right key and not with a wrong one, destroys the slot. Needs no device-mapper.
    public static func selftest(_ path: String) throws(StorageError) -> String? {
        let key = [UInt8](repeating: 7, count: keyBytes)
        try format(path, key: key, cipher: .aes)
        guard try accepts(path, key: key) else { return "the right key was refused" }
        guard try !accepts(path, key: [UInt8](repeating: 8, count: keyBytes)) else { return "a wrong key was taken" }
        _ = try destroyKeySlots(path)
        return try accepts(path, key: key) ? "a destroyed slot still opens" : nil
    }
}
