import Crypto
import Platform
import Testing

/// Known vectors: the functions are wired to what their names say.
@Suite struct CryptoTests {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
    ])
    func `SHA-256 (FIPS 180-4 examples)`(text: String, digest: String) { #expect(hexText(Crypto.sha256(bytes(text))) == digest) }

    @Test func `HMAC-SHA-256 (RFC 4231, case 1)`() {
        #expect(
            hexText(Crypto.authenticationCode(key: [UInt8](repeating: 0x0B, count: 20), bytes("Hi There")))
                == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
    }

    @Test func `HMAC-SHA-256 (RFC 4231, case 2)`() {
        #expect(
            hexText(Crypto.authenticationCode(key: bytes("Jefe"), bytes("what do ya want for nothing?")))
                == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    }

    @Test func `HMAC-SHA-256 (RFC 4231, case 6: a key longer than a block)`() {
        let text = bytes("Test Using Larger Than Block-Size Key - Hash Key First")
        #expect(
            hexText(Crypto.authenticationCode(key: [UInt8](repeating: 0xAA, count: 131), text))
                == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
    }

    @Test func `an empty key and an empty text do not trap`() {
        #expect(
            hexText(Crypto.authenticationCode(key: [], []))
                == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad")
    }

    @Test func `equal only where every byte is`() {
        #expect(Crypto.areEqual([], []) && Crypto.areEqual([1, 2, 3], [1, 2, 3]))
        for other: [UInt8] in [[], [1, 2], [1, 2, 4], [0, 2, 3], [1, 2, 3, 0]] { #expect(!Crypto.areEqual([1, 2, 3], other)) }
    }
}
