//! Prints the table of what each real agent did, out of the file that the tests wrote (`AO_MATRIX`).

#![expect(clippy::print_stdout, reason = "it is what it is for")]

fn main() {
    let file = std::env::args_os().nth(1).expect("matrix FILE");
    let lines = std::fs::read_to_string(file).expect("the file can be read");
    print!("{}", ao_tests::matrix::printed(&lines));
}
