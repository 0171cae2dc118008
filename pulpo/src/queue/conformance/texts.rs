//! Queues do not change the texts of messages.

use super::harness::Harness;
use super::steps::{ConsumerExt as _, HarnessExt as _, QUEUE, envelope};
use crate::queue::{NewMessage, Settlement};

pub(super) fn texts_come_back_as_they_were(harness: &dyn Harness) {
    let texts = [
        envelope("type", &"x".repeat(60_000)),
        envelope("type", "Grüße, 世界, \u{1F419}, \u{2028}, \"quoted\" \\ \r\n \t"),
        envelope("type", "\0 and \u{1}"),
        "not JSON at all".to_owned(),
        "  {\"spaces\": \"and key order\",\r\n\"are\": \"kept\"}\r\n".to_owned(),
        "\r\ndelete 1\r\n".to_owned(),
        "\u{FEFF}byte order mark".to_owned(),
        "'; DROP TABLE message; --".to_owned(),
        String::new(),
    ];
    let mut consumer = harness.consumer();
    for text in texts {
        let id = harness.put(NewMessage::new(QUEUE, "type", text.clone()));
        assert_eq!(String::from_utf8_lossy(&harness.peek(&id).text), text);
        let delivery = consumer.take();
        assert_eq!(String::from_utf8_lossy(&delivery.text), text);
        consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
    }
}
