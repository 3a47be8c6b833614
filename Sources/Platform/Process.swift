import CLinux

/// A process by number and start time, so that a number used again is not taken for it; outlives us on disk.
public struct ProcessIdentity: Equatable, Sendable {
    /// The process number.
    public let pid: Int32
    /// Field 22 of /proc/PID/stat: clock ticks between boot and the start of the process.
    public let startTicks: UInt64

    /// An identity noted earlier.
    public init(pid: Int32, startTicks: UInt64) {
        self.pid = pid
        self.startTicks = startTicks
    }

    /// The process that has this number now, unless it is a zombie; nil where there is none.
    public static func of(_ pid: Int32) -> ProcessIdentity? {
        guard pid > 0, let bytes = try? Files.read("/proc/\(pid)/stat", limit: 4_096),
            let close = bytes.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        // After the command's closing parenthesis: state is field 3, the start time field 22.
        let fields = bytes[(close + 1)...].split(separator: UInt8(ascii: " "))
        guard fields.count > 19, let state = fields[0].first, state != UInt8(ascii: "Z"), state != UInt8(ascii: "X"),
            let ticks = UInt64(String(decoding: fields[19], as: UTF8.self))
        else { return nil }
        return ProcessIdentity(pid: pid, startTicks: ticks)
    }

    /// The arguments of the process with this number now, /proc/PID/cmdline; none of a zombie.
    public static func arguments(of pid: Int32) -> [ArraySlice<UInt8>] {
        guard let command = try? Files.read("/proc/\(pid)/cmdline", limit: 65_536) else { return [] }
        return command.split(separator: 0)
    }

    /// All processes but us that have an argument as told. Anybody can give a process any argument: these may be ended, but are not to be trusted.
    public static func all(havingArgument isWanted: (ArraySlice<UInt8>) -> Bool) -> [ProcessIdentity] {
        Files.names(in: "/proc").compactMap { name in
            guard let pid = Int32(name), pid != getpid(), arguments(of: pid).contains(where: isWanted) else { return nil }
            return of(pid)
        }
    }

    /// This program.
    public static let ours = of(getpid()) ?? ProcessIdentity(pid: getpid(), startTicks: 0)

    /// Whether this very process still runs.
    public var isAlive: Bool { ProcessIdentity.of(pid) == self }

    /// Sends a signal if this very process still runs.
    public func send(_ signal: Int32) {
        let handle = clinux_pidfd_open(pid)
        guard handle >= 0 else { return }
        let descriptor = FileDescriptor(owning: handle)
        if isAlive { _ = clinux_pidfd_send_signal(descriptor.raw, signal) }
    }
}

/// What a program is started with.
public struct Command: Sendable {
    /// The program (searched in PATH if it has no slash) and its arguments. Never put a secret here: every user can read it.
    public var arguments: [String]
    /// Bytes for its standard input; nil gives /dev/null.
    public var input: [UInt8]?
    /// Variables added to our own environment, as NAME=value.
    public var environment: [String]
    /// Its own session, so that our end is not its end.
    public var ownSession: Bool

    /// A command line.
    public init(_ arguments: [String], input: [UInt8]? = nil, environment: [String] = [], ownSession: Bool = false) {
        self.arguments = arguments
        self.input = input
        self.environment = environment
        self.ownSession = ownSession
    }
}

/// A started child: its number and a pidfd that becomes readable at its end.
public struct Child: ~Copyable {
    /// The process number; ours until reaped.
    public let pid: Int32
    /// pidfd_open(2): readable when the child has ended.
    public let handle: FileDescriptor

    /// Starts a program (posix_spawnp). Descriptors not given are /dev/null; they stay the caller's.
    public static func start(
        _ command: Command, input: Int32 = -1, output: Int32 = -1, error: Int32 = -1
    ) throws(SystemError) -> Child {
        guard let program = command.arguments.first else { throw SystemError(EINVAL, "spawn: no program") }
        var pid: pid_t = 0
        let code = withCStrings(command.arguments) { arguments in
            withEnvironment(adding: command.environment) { environment in
                clinux_spawn(&pid, program, arguments, environment, input, output, error, command.ownSession ? 1 : 0)
            }
        }
        guard code == 0 else { throw SystemError(code, "start " + program) }
        let handle = clinux_pidfd_open(pid)
        guard handle >= 0 else { throw .last("pidfd_open " + program) }
        return Child(pid: pid, handle: FileDescriptor(owning: handle))
    }

    /// The exit status as a shell gives it (128 + signal where it was killed), or nil while it runs.
    public borrowing func reap() -> Int32? {
        let status = clinux_reap(pid, WNOHANG)
        return status < 0 ? nil : status
    }

    /// Waits for the end. Only for children that end by themselves soon.
    public consuming func wait() -> Int32 {
        while true {
            let status = clinux_reap(pid, 0)
            if status >= 0 { return status }
            if clinux_errno() != EINTR { return 127 }
        }
    }
}

/// What a short program printed and how it ended.
public struct Outcome: Equatable, Sendable {
    /// 0, or what the program failed with; 128 + signal where it was killed.
    public let status: Int32
    /// Standard output.
    public let output: [UInt8]
    /// Standard error, at most 16 KiB.
    public let complaint: [UInt8]

    /// An outcome.
    public init(status: Int32, output: [UInt8], complaint: [UInt8]) {
        self.status = status
        self.output = output
        self.complaint = complaint
    }

    /// The last line of the complaint, for an error message.
    public var reason: String {
        let lines = complaint.split(separator: UInt8(ascii: "\n"))
        return lines.last.map { String(decoding: $0, as: UTF8.self) } ?? "exit status \(status)"
    }
}

/// Runs a short program to its end and collects what it printed (both limited). For programs that take milliseconds; others go through the loop.
public func run(_ command: Command, outputLimit: Int = 1 << 20) throws(SystemError) -> Outcome {
    let output = try FileDescriptor.pipe()
    let complaint = try FileDescriptor.pipe()
    let (outputReading, outputWriting) = output.ends()
    let (complaintReading, complaintWriting) = complaint.ends()
    let reading = FileDescriptor(owning: outputReading)
    let complaining = FileDescriptor(owning: complaintReading)
    let child: Child
    do {
        let writing = FileDescriptor(owning: outputWriting)
        let alsoWriting = FileDescriptor(owning: complaintWriting)
        let input = try inputDescriptor(command.input)
        child = try Child.start(command, input: input.raw, output: writing.raw, error: alsoWriting.raw)
    }
    var printed: [UInt8] = []
    var complained: [UInt8] = []
    var open = [pollfd(fd: reading.raw, events: Int16(POLLIN), revents: 0), pollfd(fd: complaining.raw, events: Int16(POLLIN), revents: 0)]
    while open[0].fd >= 0 || open[1].fd >= 0 {
        guard poll(&open, 2, -1) >= 0 else {
            if clinux_errno() == EINTR { continue }
            throw .last("poll")
        }
        if open[0].revents != 0 {
            let part = try reading.read(upTo: 65_536)
            if part.isEmpty { open[0].fd = -1 }
            printed += part.prefix(outputLimit - printed.count)
        }
        if open[1].revents != 0 {
            let part = try complaining.read(upTo: 4_096)
            if part.isEmpty { open[1].fd = -1 }
            complained += part.prefix(16_384 - complained.count)
        }
    }
    return Outcome(status: child.wait(), output: printed, complaint: complained)
}

/// A descriptor from which a child reads `bytes`: a memfd, so that no writer has to wait; raw -1 for none.
public func inputDescriptor(_ bytes: [UInt8]?) throws(SystemError) -> FileDescriptor {
    guard let bytes else { return try FileDescriptor.open("/dev/null", O_RDONLY) }
    let raw = memfd_create("input", UInt32(MFD_CLOEXEC))
    guard raw >= 0 else { throw .last("memfd_create") }
    let memory = FileDescriptor(owning: raw)
    try memory.write(bytes)
    guard lseek(memory.raw, 0, SEEK_SET) == 0 else { throw .last("lseek") }
    return memory
}

/// The strings as a NULL-terminated C array for the time of the call.
func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("the array holds at least the NULL") }
        return body(base)
    }
}

/// Our environment with some variables added or replaced, as a C array for the time of the call. Of a name given twice the C library
/// takes the first and a shell the last, so none is given twice.
func withEnvironment<Result>(
    adding added: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var variables: [String] = added
    var next = clinux_environment()
    while let place = next, let variable = place.pointee {
        let ours = String(cString: variable)
        if !added.contains(where: { $0.utf8.prefix(while: isNotEqualSign).elementsEqual(ours.utf8.prefix(while: isNotEqualSign)) }) {
            variables.append(ours)
        }
        next = place + 1
    }
    return withCStrings(variables, body)
}

private func isNotEqualSign(_ byte: UInt8) -> Bool { byte != UInt8(ascii: "=") }
