import CLinux
import JSON
import Platform
import Protocol
import Storage

/// The governor's version, in listings and in `--version`.
let version = "0.1.0"

/// The agent on the device: command line and wiring.
@main struct Governor {
    static func main() {
        exit(run(Invocation.arguments()))
    }

    static func run(_ arguments: [String]) -> Int32 {
        let options: Options
        do throws(UsageError) {
            options = try Options(arguments, valued: Options.places, flags: ["json", "yes", "offline", "help", "version", "debug"])
        } catch {
            Terminal.complain("governor: " + error.message + "; see governor --help")
            return Exit.usage
        }
        if options.has("version") {
            Terminal.print("governor " + version)
            return Exit.fine
        }
        if options.has("help") || options.words == ["help"] {
            Terminal.print(usage)
            return Exit.fine
        }
        return dispatch(options)
    }

    private static func dispatch(_ options: Options) -> Int32 {
        let layout = options.layout()
        switch options.words.first {
        case "run": return RunCommand.run(layout, debug: options.has("debug"))
        case "halt": return withConfig(layout) { HaltCommand.run(layout, $0) }
        case "status": return StatusCommand.run(layout, asJSON: options.has("json"))
        case "storage":
            return withConfig(layout) { StorageCommand.run(Array(options.words.dropFirst()), options, layout, $0) }
        case "selftest": return Selftest.run(isOffline: options.has("offline"), layout)
        default:
            Terminal.complain("governor: expected a command; see governor --help")
            return Exit.usage
        }
    }

    /// Reads the configuration; where it is wrong, one line says which key and what was expected.
    static func withConfig(_ layout: Layout, _ body: (Config) -> Int32) -> Int32 {
        let config: Config
        do throws(JSONError) { config = try Config.read(layout.configPath) } catch {
            Terminal.complain(layout.configPath + ": " + error.message)
            return Exit.configuration
        }
        return body(config)
    }

    static let usage = """
        governor \(version): turns this machine into a server that somebody can rent

        usage: governor COMMAND [OPTIONS]
          run                 do it; one process a device. TERM ends it and drops nobody; HUP tries again at once
          status [--json]     what it is doing
          halt                end container, engine and tunnel and close the drive; the lease and its data stay
          storage inspect     look at the drive; changes nothing
          storage prepare     give it a fresh key, format and mount it (asks first)
          storage open|close  unlock and mount, unmount and lock
          storage erase       destroy what is on it and verify that (asks first)
          selftest [--offline]  check this program and this machine

        options
          --config FILE   the owner's file        (SUBLET_CONFIG, /boot/firmware/device-config.json)
          --state DIR     kept for ever           (SUBLET_STATE, /var/lib/sublet)
          --run DIR       gone at a reboot        (SUBLET_RUN, /run/sublet)
          --base FILE     the renter's base image (SUBLET_BASE, /usr/lib/sublet/base.tar)
          --yes           do not ask              --json  for programs
          --debug         more in the log         --version, --help

        exit status
          0 fine   64 wrong command line   69 this machine lacks something (the line says what)   70 a step failed
          75 another governor runs here    77 not root                                            78 device-config.json is wrong
        """
}
