// swift-tools-version: 6.2
// One package, two modes: ordinary Swift on the development machine, Embedded Swift on the boards (board/toolset).
import PackageDescription

/// The C library names struct members by this macro; every module that sees them, Foundation's too in the tests, must see the same names.
let glibc = SwiftSetting.unsafeFlags(["-Xcc", "-D_GNU_SOURCE"])

/// Set by Tests/Fuzz/run alone: the fuzzers are there too, and every room counts which of its branches are taken.
let isFuzzed = Context.environment["SUBLET_FUZZ"] != nil

/// What every Swift target is built with: warnings are errors, and what Embedded Swift refuses is an error here already.
let strict: [SwiftSetting] =
    [
        glibc,
        .treatAllWarnings(as: .error),
        .treatWarning("EmbeddedRestrictions", as: .error),
    ] + (isFuzzed ? [.unsafeFlags(["-sanitize=fuzzer,address", "-enable-testing"])] : [])

/// A Swift room: its name, the rooms below it, and the C libraries it links.
func room(_ name: String, _ below: [Target.Dependency] = [], links: [String] = []) -> Target {
    .target(
        name: name, dependencies: below, swiftSettings: strict,
        linkerSettings: (links + ["m"]).map { .linkedLibrary($0) })
}

/// A program: wiring, command line and main loop.
func program(_ name: String, _ below: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: below, swiftSettings: strict)
}

/// A C door: a module map and `static inline` wrappers for what Swift can't import.
func door(_ name: String) -> Target { .systemLibrary(name: name) }

/// The unit tests of one room.
func tests(_ name: String, _ below: [Target.Dependency]) -> Target {
    .testTarget(name: name + "Tests", dependencies: below, swiftSettings: [glibc])
}

/// Tests/Fuzz. The fuzzer's library is named by the script that builds it.
let fuzzers: [Target] = [
    .systemLibrary(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
    .executableTarget(
        name: "fuzz",
        dependencies: [
            "Appliance", "CFuzzer", "Crypto", "Engine", "EventLoop", "Fence", "GovernorCore", "JSON", "Lamp", "MarketClient", "MarketCore",
            "Platform", "Protocol", "Simulator", "Storage", "Tunnel", "VaultProtocol",
        ],
        path: "Tests/Fuzz/Sources", swiftSettings: strict),
]

let package = Package(
    name: "sublet",
    products: [
        .executable(name: "governor", targets: ["governor"]),
        .executable(name: "market", targets: ["market"]),
        .executable(name: "vault", targets: ["vault"]),
        .executable(name: "simulate", targets: ["simulate"]),
    ],
    targets: [
        door("CLinux"), door("CJSON"), door("CCrypto"), door("CCurl"), door("CCryptsetup"), door("CMicrohttpd"), door("CSQLite"),
        door("CUdev"), door("CGpiod"),

        room("Platform", ["CLinux"]),
        room("JSON", ["CJSON"], links: ["json-c"]),
        room("Crypto", ["CCrypto", "Platform"], links: ["crypto"]),
        room("Protocol", ["JSON"]),
        room("EventLoop", ["CCurl", "CLinux", "Platform"], links: ["curl"]),

        room("Appliance", ["GovernorCore", "JSON", "Platform", "Protocol"]),
        room("Commands", ["CLinux", "Platform"]),
        room("VaultProtocol", ["CLinux", "Platform"]),
        program("vault", ["CLinux", "Commands", "Platform", "VaultProtocol"]),
        room("GovernorCore", ["JSON", "Protocol"]),
        room(
            "Storage", ["CCryptsetup", "CLinux", "CUdev", "Platform", "Protocol", "VaultProtocol"], links: ["cryptsetup", "udev"]),
        room("Engine", ["CLinux", "EventLoop", "JSON", "Platform", "Protocol"]),
        room("Fence", ["CLinux", "Platform"]),
        room("Lamp", ["CGpiod", "CLinux", "EventLoop", "Platform"], links: ["gpiod"]),
        room("Tunnel", ["CLinux", "EventLoop", "JSON", "Platform", "Protocol"]),
        room("MarketClient", ["Crypto", "EventLoop", "JSON", "Platform", "Protocol"]),
        program(
            "governor",
            [
                "Appliance", "CLinux", "Commands", "Crypto", "Engine", "EventLoop", "Fence", "GovernorCore", "JSON", "Lamp", "MarketClient",
                "Platform", "Protocol", "Storage", "Tunnel", "VaultProtocol",
            ]),

        room("MarketCore", ["Crypto", "JSON", "Protocol"]),
        room("Database", ["CSQLite", "JSON", "MarketCore", "Platform"], links: ["sqlite3"]),
        room("Web", ["CMicrohttpd", "CLinux", "Platform"], links: ["microhttpd"]),
        program("market", ["CLinux", "Commands", "Crypto", "Database", "JSON", "MarketCore", "Platform", "Protocol", "Web"]),

        room("Simulator", ["GovernorCore", "JSON", "MarketCore", "Protocol"]),
        program("simulate", ["CLinux", "Commands", "Platform", "Simulator"]),

        tests("Appliance", ["Appliance", "GovernorCore", "JSON", "Platform", "Protocol"]),
        tests("Platform", ["Platform"]),
        tests("JSON", ["JSON"]),
        tests("Crypto", ["Crypto", "Platform"]),
        tests("Protocol", ["Protocol", "JSON"]),
        tests("VaultProtocol", ["Platform", "VaultProtocol"]),
        tests("Storage", ["Platform", "Storage"]),
        tests("Lamp", ["Lamp", "Platform"]),
        tests("GovernorCore", ["Platform", "GovernorCore", "JSON", "Protocol"]),
        tests("MarketCore", ["Database", "JSON", "MarketCore", "Platform", "Protocol", "Simulator"]),
        tests("Simulator", ["Simulator"]),
        tests("Database", ["Database", "MarketCore", "Platform", "Protocol"]),
    ] + (isFuzzed ? fuzzers : []),
    swiftLanguageModes: [.v6]
)
