//! A planted race. `./check` runs it to see that Miri and ThreadSanitizer report what they should.
#![expect(unsafe_code, reason = "safe code has no races")]

#[test]
#[ignore = "a planted race: it must be reported, not pass"]
fn planted_race() {
    static mut WORD: u64 = 0;
    let write = || {
        let word = &raw mut WORD;
        for round in 0..1_000 {
            // SAFETY: there is none: two threads write to the word at a time.
            unsafe { word.write(round) };
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(write);
        scope.spawn(write);
    });
}
