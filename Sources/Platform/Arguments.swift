import CLinux

/// The program's arguments and environment, read from the kernel: Embedded Swift's CommandLine has no promise on every board.
public enum Invocation {
    /// The arguments after the program's name.
    public static func arguments() -> [String] {
        guard let bytes = try? Files.read("/proc/self/cmdline", limit: 1 << 20) else { return [] }
        var all = bytes.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        if all.last == "" { all.removeLast() }
        return Array(all.dropFirst())
    }

    /// An environment variable, nil where it is not set or empty.
    public static func environment(_ name: String) -> String? {
        guard let value = getenv(name) else { return nil }
        let text = String(cString: value)
        return text.isEmpty ? nil : text
    }

    /// The path of the running program.
    public static func programPath() -> String {
        let path = Files.link("/proc/self/exe")
        return path.isEmpty ? "governor" : path
    }

    /// Whether we run as root.
    public static var isRoot: Bool { geteuid() == 0 }
}

/// Standard output and standard error.
public enum Terminal {
    /// Writes a line to standard output.
    public static func print(_ line: String) { put(line + "\n", to: STDOUT_FILENO) }

    /// Writes a line to standard error.
    public static func complain(_ line: String) { put(line + "\n", to: STDERR_FILENO) }

    /// Writes text as it is; for progress that rewrites its line.
    public static func put(_ text: String, to descriptor: Int32 = STDOUT_FILENO) {
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let put = bytes.withUnsafeBytes { buffer in buffer.baseAddress.map { write(descriptor, $0 + done, bytes.count - done) } ?? 0 }
            if put > 0 { done += put } else if clinux_errno() != EINTR { return }
        }
    }

    /// Whether standard error is a terminal, where colours and rewritten lines are welcome.
    public static var isInteractive: Bool { isatty(STDERR_FILENO) == 1 }
}
