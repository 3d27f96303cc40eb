//! `ao` with its crash points compiled in; what the chaos tests start and kill.

fn main() -> std::process::ExitCode {
    ao::main()
}
