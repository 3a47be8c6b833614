import Platform
import Protocol

/// The files that a system is set up by. They lie in the image's root, which is in RAM and forgets them; so each boot makes them anew.
public struct SetupPlan: Equatable, Sendable {
    /// A file, from the root on.
    public struct File: Equatable, Sendable {
        /// Its path, `/etc/…`.
        public let path: String
        /// Its permissions.
        public let mode: UInt32
        /// What is in it; nil where it must not be there. A passphrase may be part of it.
        public let contents: Secret?
    }

    /// What is to be there, or not.
    public let files: [File]
    /// What the kernel is to be told of the device's name; nil leaves it.
    public let hostname: String?

    /// The plan for an owner's settings.
    public init(_ settings: SystemSettings) {
        var files = [
            File(path: Self.wirelessPath, mode: 0o600, contents: settings.wifi.map { Secret($0.supplicant) }),
            File(
                path: Self.keysPath, mode: 0o600,
                contents: settings.sshKeys.isEmpty ? nil : Secret(settings.sshKeys.map { $0 + "\n" }.joined())),
        ]
        if let name = settings.hostname {
            files.append(File(path: "/etc/hostname", mode: 0o644, contents: Secret(name + "\n")))
            let hosts = "127.0.0.1\tlocalhost\n127.0.1.1\t\(name)\n::1\tlocalhost ip6-localhost ip6-loopback\n"
            files.append(File(path: "/etc/hosts", mode: 0o644, contents: Secret(hosts)))
        }
        self.files = files
        hostname = settings.hostname
    }

    /// By its being there sublet-wifi@.service starts, and
    static let wirelessPath = "/etc/sublet/wpa_supplicant.conf"
    /// by this sublet-ssh.service.
    static let keysPath = "/etc/sublet/authorized_keys"

    /// Writes and removes the files below a folder, "" for the root. Those that are as they should be are written again.
    public func apply(below root: String) throws(SystemError) {
        for file in files {
            let path = root + file.path
            guard let contents = file.contents else {
                if Files.exists(path) { try Files.remove(path) }
                continue
            }
            try Files.makeFolder(Files.parent(of: path), mode: 0o755)
            try Files.replace(path, with: contents.reveal(), mode: file.mode)
        }
    }
}

extension SystemSettings.WiFi {
    /// wpa_supplicant.conf(5). The name in hex, so that no letter of it means anything; a passphrase may hold quotes, for the last one on the
    /// line ends it. WPA2 and WPA3, protected management frames where both sides have them.
    var supplicant: String {
        var lines = ["country=" + country, "pmf=1", "network={", "\tssid=" + hexText(Array(ssid.utf8)), "\tscan_ssid=1"]
        switch passphrase?.revealText() {
        case nil: lines.append("\tkey_mgmt=NONE")
        case let key? where key.utf8.count == 64: lines += ["\tkey_mgmt=WPA-PSK WPA-PSK-SHA256", "\tpsk=" + key]
        case let words?: lines += ["\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE", "\tpsk=\"" + words + "\""]
        }
        return (lines + ["}"]).map { $0 + "\n" }.joined()
    }
}
