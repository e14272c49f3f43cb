//! The `pmon` binary.

fn main() -> std::process::ExitCode {
    pmon::cli::main()
}
