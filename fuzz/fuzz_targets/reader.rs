#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use tachograph_tests::targets::{self, reader};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, targets::MEMORY_MAX);

fuzz_target!(|input: &[u8]| reader::run(input));
