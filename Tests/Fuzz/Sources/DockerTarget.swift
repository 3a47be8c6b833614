import Platform

@testable import Engine

/// Docker's answers: whatever they are, an answer is fine by its status alone, and no wall counts as there that is not named.
func fuzzDocker(_ input: [UInt8]) {
    for status in [200, 304, 404, 500] {
        let reply = EngineReply(status: status, bytes: input)
        expect(reply.isFine == (status < 400), "fine, and not: \(status)")
        expect(reply.trouble.map { !$0.isEmpty } ?? true, "trouble without words")
        _ = (reply.runs, reply.exitStatus)
        if reply.missingWall == nil {
            for wall in ["seccomp", "userns"] { expect(isThere("name=" + wall, input), "a wall that nobody named") }
        }
        if reply.limitsMemory { expect(isThere("MemoryLimit", input), "a limit that nobody named") }
        if let warning = reply.brokenLimit { expect(!warning.utf8.elementsEqual("swap".utf8), "swap is no limit of ours") }
    }
}

/// Whether words stand in a text, in plain letters or, as `\u` is used, perhaps in what it says.
private func isThere(_ words: String, _ input: [UInt8]) -> Bool { input.contains(UInt8(ascii: "\\")) || contains(input, words) }
