//! A planted race. `./check` runs it to see that Miri and ThreadSanitizer report what they should.
#![expect(unsafe_code, reason = "safe code has no races")]

use std::thread;
use std::time::Duration;

#[test]
#[ignore = "a planted race: it must be reported, not pass"]
fn planted_race() {
    static mut WORD: u64 = 0;
    let write_after = |pause| {
        move || {
            let word = &raw mut WORD;
            // Time orders nothing. At the very same moment ThreadSanitizer may miss both writes; a thread that ends
            // before the other is spawned has its write ordered before.
            thread::sleep(pause);
            // SAFETY: there is none: two threads write to the word.
            unsafe { word.write(1) };
        }
    };
    thread::scope(|scope| {
        scope.spawn(write_after(Duration::from_millis(200)));
        scope.spawn(write_after(Duration::from_millis(400)));
    });
}
