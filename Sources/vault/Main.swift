import CLinux
import Commands
import Platform
import VaultProtocol

/// The renter's command for a vault: files under a passphrase that only the renter knows. It asks, and the device's governor does the work.
@main struct Vault {
    static func main() {
        do throws(CommandFailure) { try perform(Invocation.arguments()) } catch {
            Terminal.complain("vault: " + error.message)
            exit(error.code.rawValue)
        }
    }

    private static func perform(_ arguments: [String]) throws(CommandFailure) {
        if arguments.contains("--help") || arguments.first == "help" { return Terminal.print(usage) }
        if arguments.contains("--version") { return Terminal.print("vault 0.1.0") }
        let rest = arguments.dropFirst()
        switch arguments.first {
        case "create": try create(try Options(rest, valued: ["--size"]))
        case "open": try open(try Options(rest, valued: []))
        case "close": try close(try Options(rest, valued: []))
        case "status": try status(try Options(rest, valued: [], plain: ["--json"]))
        case "forget": try forget(try Options(rest, valued: []))
        case let word?: throw CommandFailure(.usage, "unknown command \"" + word + "\"; see vault --help")
        case nil: throw CommandFailure(.usage, "expected a command; see vault --help")
        }
    }

    private static func create(_ options: Options) throws(CommandFailure) {
        let text = try options.value("--size")
        guard let size = ByteSize.read(text), (VaultWire.smallest...VaultWire.largest).contains(size) else {
            throw CommandFailure(.usage, "--size: expected a whole number with K, M, G or T, at least 64M, found " + text)
        }
        try keepMemoryPrivate()
        let passphrase = try Passphrase.choose()
        _ = try Conversation.ask(.create, size: size, passphrase: passphrase)
        good("your vault is open at /vault. Nobody can open it without the passphrase: if you forget it, what is inside is lost")
    }

    private static func open(_ options: Options) throws(CommandFailure) {
        try keepMemoryPrivate()
        let passphrase = try Passphrase.ask()
        _ = try Conversation.ask(.open, passphrase: passphrase)
        good("your vault is open at /vault, until you close it or the machine restarts")
    }

    private static func close(_ options: Options) throws(CommandFailure) {
        _ = try Conversation.ask(.close)
        good("your vault is closed")
    }

    private static func status(_ options: Options) throws(CommandFailure) {
        let answer = try Conversation.ask(.status)
        if options.has("--json") {
            return Terminal.print(
                "{\"state\":\"" + answer.state.word + "\",\"sizeBytes\":\(answer.size),\"usedBytes\":\(answer.used)}")
        }
        switch answer.state {
        case .none: Terminal.print("no vault; make one with: vault create --size 10G")
        case .closed: Terminal.print("closed, " + ByteSize.text(answer.size))
        case .open: Terminal.print("open at /vault, " + ByteSize.text(answer.used) + " of " + ByteSize.text(answer.size) + " used")
        }
    }

    private static func forget(_ options: Options) throws(CommandFailure) {
        Terminal.put("Everything in the vault will be lost for good. Type yes: ", to: STDERR_FILENO)
        let answer = (try? FileDescriptor(owning: dup(STDIN_FILENO)).read(upTo: 16)) ?? []
        guard answer.elementsEqual("yes\n".utf8) else { throw CommandFailure(.usage, "nothing was changed") }
        _ = try Conversation.ask(.forget)
        good("the vault is gone: its keys are destroyed, its file is deleted")
    }

    private static func keepMemoryPrivate() throws(CommandFailure) {
        try system(otherwise: .failed) { () throws(SystemError) in
            guard clinux_keep_memory_private() == 0 else { throw .last("keeping core dumps off") }
        }
    }

    /// What went well, with colour only where a person looks.
    private static func good(_ text: String) {
        let isColourful = isatty(STDOUT_FILENO) == 1 && Invocation.environment("NO_COLOR") == nil
        Terminal.print(isColourful ? "\u{1B}[32m✓\u{1B}[0m " + text : text)
    }

    static let usage = """
        vault: files under a passphrase that only you know

        usage: vault COMMAND
          create --size 10G   make a vault of that size and open it (K, M, G, T; at least 64M)
          open                open it at /vault
          close               close it; nothing may use it then
          status [--json]     none, closed or open, and how full
          forget              destroy it and all that is in it (asks first)

        The passphrase (\(VaultWire.shortestPassphrase) to \(VaultWire.longestPassphrase) bytes) is asked for at your terminal and not shown. \
        Where standard input is no terminal, one line of it is
        taken instead, for scripts; with ssh use ssh -t, or your own terminal shows what you type. It is never an argument, \
        nor in the environment.
        A restart of the machine closes the vault. What it protects you from, and what not: ask for docs/vault.md.

        exit status
          0 fine   64 wrong command line       65 wrong passphrase   69 this device can't   70 it failed
          73 no room, or there is one already  75 not now            77 not permitted
        """
}
