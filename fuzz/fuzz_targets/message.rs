//! Any bytes at the decoder of messages: read or refused, and what was read
//! can be written and read again.
#![no_main]

use std::collections::HashMap;

use pulpo::Message;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only its types matter")]
struct Body {
    number: u64,
    text: Option<String>,
    list: Vec<(i8, f32)>,
    map: HashMap<String, Option<Box<Body>>>,
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Message::<Body>::from_json(bytes).map_err(|error| error.to_string());
    let _ = Message::<String>::from_json(bytes).map_err(|error| error.to_string());
    let _ = Message::<()>::from_json(bytes);
    if let Ok(message) = Message::<serde_json::Value>::from_json(bytes) {
        let text = message.to_json().expect("what was read can be written");
        let again = Message::<serde_json::Value>::from_json(text.as_bytes()).expect("what was written can be read");
        assert_eq!(again.headers(), message.headers());
    }
});
