import CLinux
import Commands
import Platform

/// The program: finds the command, runs it, turns its failure into one line and an exit code.
@main struct MarketProgram {
    static func main() {
        do throws(CommandFailure) { try perform(Invocation.arguments()) } catch {
            Terminal.complain("market: " + error.message)
            exit(error.code.rawValue)
        }
    }

    private static func perform(_ arguments: [String]) throws(CommandFailure) {
        guard let first = arguments.first else {
            Terminal.complain(Help.overview)
            throw CommandFailure(.usage, "no command")
        }
        if first == "--version" || first == "version" { return Terminal.print("market " + marketVersion) }
        if first == "--help" || first == "help" { return Terminal.print(Help.overview) }
        guard let command = Verb.allCases.first(where: { arguments.starts(with: $0.words) }) else {
            throw CommandFailure(.usage, "unknown command \"" + first + "\"; see: market --help")
        }
        let rest = arguments.dropFirst(command.words.count)
        if rest.contains("--help") { return Terminal.print(Help.text(command)) }
        try command.run(rest)
    }
}

/// The commands.
enum Verb: CaseIterable {
    case serve, tunnelAdd, tunnelList, ownerAdd, deviceAdd, deviceList, deviceRekey, deviceRevoke, rent, extend, end, receiptShow,
        receiptVerify, authorizedKeys

    /// The words that name it.
    var words: [String] {
        switch self {
        case .serve: ["serve"]
        case .tunnelAdd: ["tunnel", "add"]
        case .tunnelList: ["tunnel", "list"]
        case .ownerAdd: ["owner", "add"]
        case .deviceAdd: ["device", "add"]
        case .deviceList: ["device", "list"]
        case .deviceRekey: ["device", "rekey"]
        case .deviceRevoke: ["device", "revoke"]
        case .rent: ["rent"]
        case .extend: ["extend"]
        case .end: ["end"]
        case .receiptShow: ["receipt", "show"]
        case .receiptVerify: ["receipt", "verify"]
        case .authorizedKeys: ["authorized-keys"]
        }
    }

    func run(_ arguments: ArraySlice<String>) throws(CommandFailure) {
        switch self {
        case .serve: try serveDevices(arguments)
        case .tunnelAdd: try addTunnelHost(arguments)
        case .tunnelList: try listTunnelHosts(arguments)
        case .ownerAdd: try addOwner(arguments)
        case .deviceAdd: try addDevice(arguments)
        case .deviceList: try listDevices(arguments)
        case .deviceRekey: try rekeyDevice(arguments)
        case .deviceRevoke: try revokeDevice(arguments)
        case .rent: try rentDevice(arguments)
        case .extend: try extendLease(arguments)
        case .end: try endLease(arguments)
        case .receiptShow: try showReceipt(arguments)
        case .receiptVerify: try verifyReceipt(arguments)
        case .authorizedKeys: try printAuthorizedKeys(arguments)
        }
    }
}
