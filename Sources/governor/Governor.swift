@main struct Governor { static func main() {} }
