//! What the derives refuse, and the words they refuse it with. What the compiler refuses in its own words, which
//! differ between versions, stands in the documentation of `tachograph::Field`.

#[test]
fn refusals_point_at_the_fault_and_say_what_is_allowed() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
