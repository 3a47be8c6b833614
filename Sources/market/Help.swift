/// What `--help` prints.
enum Help {
    static let overview = """
        market: where devices offer leases and renters take them

          market serve             answer devices over HTTP
          market tunnel add|list   tunnel hosts and their ports
          market owner add         whose devices they are
          market device add|list|rekey|revoke   devices and their keys
          market rent              rent a device; prints the account once
          market extend            move the end of a lease
          market end               end a lease now
          market receipt show|verify   wipe receipts
          market authorized-keys   for sshd's AuthorizedKeysCommand

        Every command has --help, and --data DIR (else SUBLET_MARKET_DATA, else /var/lib/sublet-market).
        Exit codes: 0 done, 64 usage, 65 bad data, 69 unavailable, 70 fault of the program, 73 can't create, 74 input or output,
        75 refused for now, 77 no permission, 78 configuration.
        """

    static func text(_ command: Verb) -> String {
        switch command {
        case .serve:
            """
            market serve [--data DIR] [--listen HOST:PORT] [--check-in SECONDS] [--refused SECONDS] [--connections N]
                         [--log error|warning|info|debug] [--behind-tls-front]
            Answers devices until TERM or INT. Listens on 127.0.0.1:8080; port 0 takes a free one, and the line event=market.ready tells it.
            --check-in: seconds between a device's check-ins (600); --refused: seconds of refused forwards until a lease gets other
            ports (120). Both are kept for the next start and the other commands.
            """
        case .tunnelAdd:
            """
            market tunnel add --host HOST [--port N] --user NAME (--host-key "ssh-ed25519 …" | --host-key-file FILE) [--bind ADDRESS]
                              --ports A-B [--local]
            Adds a tunnel host, or changes one; its ports can only become more. --bind is where ssh forwards listen (0.0.0.0).
            --local: it is this machine, so ports are probed before they are given out.
            """
        case .tunnelList: "market tunnel list\nThe tunnel hosts, the one with the most free ports first."
        case .ownerAdd: "market owner add NAME\nAdds an owner: 1 to 64 bytes."
        case .deviceAdd:
            """
            market device add --owner NAME [--name NAME] [--server URL]
            Adds a device and prints its device-config.json. The key in it is shown only now.
            """
        case .deviceList: "market device list [--json]\nEvery device with its latest lease."
        case .deviceRekey:
            """
            market device rekey DEVICE [--server URL]
            Gives the device another key and prints its device-config.json; the key before is refused from now on, the lease goes on.
            """
        case .deviceRevoke:
            """
            market device revoke DEVICE
            Lets the device in no more, until `market device rekey`. What it offers ends; a rented lease is to be ended first.
            """
        case .rent:
            """
            market rent DEVICE --for DURATION [--ssh-key FILE] [--json]
            Rents the lease that DEVICE (id or unique name) offers. DURATION: 90s, 30m, 2h, 7d. The password is shown only now.
            """
        case .extend:
            "market extend DEVICE --for DURATION\nMoves the end that much further. Refused in the last 35 s, when the device may not hear of it."
        case .end: "market end DEVICE\nEnds the lease now; the device erases at its next check-in."
        case .receiptShow: "market receipt show LEASE\nPrints the wipe receipt of a lease, as a file for: market receipt verify."
        case .receiptVerify:
            """
            market receipt verify FILE [--key "ssh-ed25519 …"]
            Checks a wipe receipt against a key, or against the device's key in the market's records. 65: it is not good.
            """
        case .authorizedKeys:
            """
            market authorized-keys KEYTYPE KEY
            Prints the authorized_keys line of the device that has this key and a lease that runs; else nothing.
            """
        }
    }
}
