//! The program `ao`: see the library of the same name.

fn main() -> std::process::ExitCode {
    ao::main()
}
