import JSON
import Platform

/// What the engine answered, or why it did not.
struct EngineReply: Equatable {
    /// The HTTP status; 0 where there was no answer.
    let status: Int
    /// The body, parsed leniently: Docker adds keys from version to version.
    let body: JSON
    /// What was wrong, in words; nil for a status below 400.
    let trouble: String?

    init(status: Int, body: JSON, trouble: String?) {
        self.status = status
        self.body = body
        self.trouble = trouble
    }

    /// An answer as it came. A body that is no JSON is as good as none.
    init(status: Int, bytes: [UInt8]) {
        let body = (try? JSON.parse(bytes)) ?? .null
        let words = status < 400 ? nil : "engine: " + (body["message"]?.text ?? "status \(status)")
        self.init(status: status, body: body, trouble: words)
    }

    /// Whether it worked, or the thing was so already (304).
    var isFine: Bool { trouble == nil }

    /// Whether the container runs, by the answer about it; nil where that does not say.
    var runs: Bool? { body["State"]?["Running"]?.truth }

    /// The status with which the container ended, by the answer to a wait for that.
    var exitStatus: Int64 { body["StatusCode"]?.whole ?? -1 }

    /// Whether memory limits hold, by the answer to `/info`. A Pi without cgroup_enable=memory ignores them silently.
    var limitsMemory: Bool { body["MemoryLimit"]?.truth == true }

    /// What dockerd leaves away without a word where kernel or package lack it, by the answer to `/info`; nil where nothing is missing.
    var missingWall: String? {
        guard let options = body["SecurityOptions"]?.elements else { return "any security option" }
        let told = options.compactMap { $0.text }
        return ["seccomp", "userns"].first { wall in !told.contains { $0.utf8.starts(with: ("name=" + wall).utf8) } }
    }

    /// The first warning that a limit would be ignored, by the answer to a creation. Without swap accounting the memory limit still holds,
    /// for a device has no swap.
    var brokenLimit: String? {
        body["Warnings"]?.elements?.compactMap { $0.text }.first { !contains(Array($0.utf8), "swap") }
    }
}
