import Testing

@testable import Storage

/// What `blkid -p -o export` says, as it printed it (util-linux 2.38).
@Suite struct SignatureTests {
    static func read(_ text: String) -> Inspect.Signature { Inspect.Signature(export: Array(text.utf8)) }

    @Test func `an exFAT stick also looks like a partition table`() {
        let text = "DEVNAME=/dev/sda\nUUID=6F79-672B\nVERSION=1.0\nBLOCK_SIZE=512\nTYPE=exfat\nUSAGE=filesystem\nPTTYPE=dos\n"
        #expect(Self.read(text).type == "exfat")
        #expect(Self.read("DEVNAME=/dev/sda\nPTTYPE=dos\nTYPE=exfat\n").type == "exfat")
    }

    @Test func `a partition table and nothing else`() {
        #expect(Self.read("DEVNAME=/dev/sda\nPTUUID=2d2c1a5e\nPTTYPE=gpt\n").type == "gpt")
    }

    @Test func `signatures that contradict each other`() { #expect(Self.read("").type == "a signature") }

    @Test(arguments: [
        ("crypto_LUKS", "sublet-lease", true), ("ext4", "sublet-lease", true), ("vfat", "sublet-lease", false), ("ext4", "x", false),
    ])
    func `ours is our label on what we make`(type: String, label: String, isOurs: Bool) {
        let found = Self.read("UUID=c0ffee\nLABEL=\(label)\nTYPE=\(type)\n")
        #expect(found.isOurs == isOurs && found.uuid == "c0ffee")
    }
}
