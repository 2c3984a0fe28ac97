//! What each stage and the codec of frames cost per message of four readings, with large frames and with small ones, beside
//! the floor of reading the JSON of each message into a tree. Run it with `cargo bench -p stages`; `items/s` are messages.

#![expect(clippy::unwrap_used, reason = "a benchmark may fail")]
#![allow(missing_docs, reason = "a benchmark is called by its name")]

mod fixture;
mod frames;
mod plans;

fn main() {
    divan::main();
}
