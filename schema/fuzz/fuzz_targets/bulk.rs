#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| schema_fuzz::bulk(bytes));
