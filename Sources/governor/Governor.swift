import CLinux
import Commands
import JSON
import Platform
import Protocol
import Storage

/// The governor's version, in listings and in `--version`.
let version = "0.1.0"

/// The agent on the device: command line and wiring.
@main struct Governor {
    static func main() {
        do throws(CommandFailure) { try perform(Invocation.arguments()) } catch {
            Terminal.complain("governor: " + error.message)
            exit(error.code.rawValue)
        }
    }

    private static func perform(_ arguments: [String]) throws(CommandFailure) {
        if arguments.contains("--version") { return Terminal.print("governor " + version) }
        if arguments.contains("--help") || arguments.first == "help" { return Terminal.print(usage) }
        let rest = arguments.dropFirst()
        switch arguments.first {
        case "run": try RunCommand.run(try Options(rest, valued: Layout.options, plain: ["--debug", "--stay"]))
        case "halt": try HaltCommand.run(try Options(rest, valued: Layout.options))
        case "status": try StatusCommand.run(try Options(rest, valued: Layout.options, plain: ["--json"]))
        case "storage" where rest.first == "vault":
            try VaultCommand.run(try Options(rest.dropFirst(), valued: Layout.options + ["--pause"], plain: ["--close"]))
        case "storage":
            try StorageCommand.run(
                try Options(
                    rest, valued: Layout.options + ["--drive", "--diskseq"], plain: ["--json", "--yes", "--probe"], words: ["STEP"],
                    maybe: ["DEV"]))
        case "lamp":
            try LampCommand.run(try Options(rest, valued: Layout.options + ["--seconds"], plain: ["--json"], maybe: ["STEP", "PATTERN"]))
        case "setup": try SetupCommand.run(try Options(rest, valued: Layout.options + ["--root"]))
        case "fence": try FenceCommand.run(try Options(rest, valued: Layout.options))
        case "selftest": try Selftest.run(try Options(rest, valued: Layout.options, plain: ["--offline"]))
        case let word?: throw CommandFailure(.usage, "unknown command \"" + word + "\"; see governor --help")
        case nil: throw CommandFailure(.usage, "expected a command; see governor --help")
        }
    }

    static let usage = """
        governor \(version): turns this machine into a server that somebody can rent

        usage: governor COMMAND [OPTIONS]
          run                 do it; one process a device. TERM ends it and drops nobody; HUP tries again at once
          status [--json]     what it is doing
          halt                end container, engine and tunnel and close the drive; the lease and its data stay
          storage list        every disk, what is on it, and whether it would be taken; changes nothing
          storage inspect [DEV]     look at one; changes nothing. DEV is a disk's node, else "storage.path"
          storage prepare [DEV]     give it a fresh key, format and mount it (asks first)
          storage open|close [DEV]  unlock and mount, unmount and lock
          storage erase [DEV]       destroy what is on it and verify that (asks first); --probe: find out first whether it lies about its size
          storage verify [DEV]      check that nothing is left on it, as after an erase; changes nothing
          lamp                what the lamp says, pattern by pattern, and where the lamp is
          lamp test           show one after the other, each for --seconds 5, and say what it means
          lamp show PATTERN   show one until INT or TERM, or for --seconds N
          fence               the walls around the renter, as nft -f reads them; changes nothing
          setup [--root DIR]  write the system's files (name, Wi-Fi, ssh) as "system" in device-config.json says
          selftest [--offline]  check this program and this machine

        options
          --config FILE   the owner's file        (SUBLET_CONFIG, /boot/firmware/device-config.json)
          --state DIR     kept for ever           (SUBLET_STATE, /var/lib/sublet)
          --run DIR       gone at a reboot        (SUBLET_RUN, /run/sublet)
          --base FILE     the renter's base image (SUBLET_BASE, /usr/lib/sublet/base.tar)
          --board FILE    the board's facts       (SUBLET_BOARD, /usr/lib/sublet/board)
          --drive ID      only if DEV is still the drive of this identity, or, with --diskseq N,
                          the one that came as the Nth of this boot and is known by it
          --yes           do not ask              --json  for programs
          --stay          run: wait where device-config.json is wrong, show that, and go on when it is mended
          --debug         more in the log         --version, --help

        exit status
          0 fine   64 wrong command line   69 this machine lacks something (the line says what)   70 a step failed
          75 another governor runs here    77 not root                                            78 device-config.json is wrong
        """
}
